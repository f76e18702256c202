package slack

import (
	"errors"
	"fmt"
	"slices"

	goslack "github.com/slack-go/slack"

	"github.com/jarvisops/jarvis/bot"
)

// code gives Slack's word for an error; "" when it is none of Slack's.
func code(err error) string {
	var e goslack.SlackErrorResponse
	if errors.As(err, &e) {
		return e.Err
	}
	return ""
}

// refusals are what Slack says of our tokens: no retry cures them, a person does.
var refusals = map[string]string{
	"invalid_auth":            "a token is not valid; take both again from the app's pages",
	"not_authed":              "no token arrived; look at chat.slack",
	"account_inactive":        "the bot's account is switched off; install the app in the workspace again",
	"token_revoked":           "a token was taken back; install the app in the workspace again",
	"token_expired":           "a token has expired; switch token rotation off for this app, and take a new one",
	"not_allowed_token_type":  "the tokens are exchanged; app_token is the one that begins with xapp-",
	"org_login_required":      "the workspace moves to an organization; wait until it has",
	"team_access_not_granted": "the app is not in this workspace; install it there",
	"missing_scope":           "",
	"no_permission":           "the app may not do this; look at its scopes",
	"access_denied":           "the app may not do this; look at its scopes",
}

// places are what Slack says of a channel or a line.
var places = map[string]string{
	"not_in_channel":        "the bot is not there; invite it",
	"channel_not_found":     "there is no such channel, or the bot cannot see it; invite it",
	"is_archived":           "it is archived, and nobody can speak there",
	"msg_too_long":          "the line is longer than Slack takes",
	"restricted_action":     "the workspace lets only some people post there",
	"user_not_found":        "there is no such user",
	"user_disabled":         "the user is deactivated",
	"cannot_dm_bot":         "that is a bot",
	"messages_tab_disabled": "the app takes no direct messages; switch on its messages tab, on the app's page \"App Home\"",
	"no_text":               "there is nothing in the line",
	"thread_not_found":      "the thread is gone",
	"message_not_found":     "the message is gone",
}

// refusesUs reports whether an error is of our tokens, so that nothing can be done until a person changes them.
func refusesUs(err error) bool {
	_, yes := refusals[code(err)]
	return yes
}

// refusesTokens reports whether nothing at all can be done with our tokens any more.
func refusesTokens(err error) bool {
	return slices.Contains([]string{"invalid_auth", "not_authed", "account_inactive", "token_revoked", "token_expired"}, code(err))
}

// explain gives one sentence: what, where, why, what to do. where may be "".
func explain(err error, where string) error {
	c := code(err)
	if c == "" {
		return err
	}
	why := refusals[c]
	if why == "" {
		why = places[c]
	}
	var e goslack.SlackErrorResponse
	if errors.As(err, &e) && c == "missing_scope" {
		why = fmt.Sprintf("the app needs the scope %s; add it on the app's page \"OAuth & Permissions\", and install the app again", e.Needed)
	}
	if why == "" {
		why = "Slack says no more"
	}
	if where != "" {
		c = where + ": " + c
	}
	return fmt.Errorf("%s: %s (%w)", c, why, err)
}

// unclear reports whether after an error nobody knows what Slack did: no answer came, or one of something in between,
// or one after which a part may be done (https://docs.slack.dev/reference/methods/chat.postMessage#errors).
func unclear(err error) bool {
	switch code(err) {
	case "":
		var status goslack.StatusCodeError
		return !errors.As(err, &status) || status.Code >= 500
	case "fatal_error", "internal_error", "request_timeout", "service_unavailable", "team_added_to_org":
		return true
	}
	return false
}

// refused wraps what a place does not take, whatever is tried.
func refused(err error, where string) error {
	return fmt.Errorf("%w: %w", bot.ErrRefused, explain(err, where))
}
