package pages

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/command"
	"github.com/jarvisops/jarvis/internal/plain"
)

// answer is what Jarvis said to a POST.
type answer struct {
	Said        []string
	Bad         bool
	Run         int64  // that was started or moved; 0: none
	Asked       string // the line, as it may be shown
	Hosts, Line string // of a command that did not begin: for the form
}

// buttons are the verbs that forms of pages say about a run.
var buttons = []string{"approve", "deny", "retry", "skip", "cancel", "undo"}

// actPatience is how long a page waits for what a button began: what comes later is seen on the page.
const actPatience = 2 * time.Second

// oneLineOnly answers several lines: joined they would be another command.
const oneLineOnly = "that was more than one line, and nothing was done; say them one by one"

// act answers a POST: it says a verb, and shows the page with what was answered. The rules are the verb's.
func (s *Site) act(p *page) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, r *http.Request) {
		v, leave, ok := s.open(w, r, p)
		if !ok {
			return
		}
		defer leave()
		if err := r.ParseForm(); err != nil {
			s.fail(w, r, v, &command.UserError{Msg: "the form could not be read", Hint: "open the page again", Kind: command.ErrUsage})
			return
		}
		if strings.ContainsAny(strings.TrimSpace(r.PostFormValue("line")), "\r\n") {
			s.page(w, r, http.StatusBadRequest, p, v, &answer{Said: []string{oneLineOnly}, Bad: true})
			return
		}
		var all [][]string
		if p.words != nil {
			all = p.words(r.PostForm)
		}
		if words := wordsOf(r); len(all) == 0 && len(words) > 0 {
			all = [][]string{words}
		}
		if len(all) == 0 {
			why := "nothing was said; `help` lists what I know"
			if r.PostFormValue("verb") != "" {
				why = "nothing was said: nothing is ticked, or this page has no such button"
			}
			s.page(w, r, http.StatusBadRequest, p, v, &answer{Said: []string{why}, Bad: true})
			return
		}
		out, status := &answer{}, http.StatusOK
		var asked []string
		for _, words := range all {
			a, err := s.Table.Do(r.Context(), command.Call{Words: words, Person: v.person, Asker: v.person.Name, Via: v.via, Secret: true, Patience: actPatience})
			if err == nil {
				asked = append(asked, s.Table.Shown(r.Context(), command.JoinWords(words)))
			} else {
				asked = append(asked, s.Table.ShownRefused(r.Context(), words))
			}
			var u *command.UserError
			if errors.As(err, &u) {
				if status == http.StatusOK { // of several, the first that was refused
					_, _, status = s.explain(u)
				}
				out.Said, out.Bad = append(out.Said, u.Error()), true
				continue
			}
			out.Said, out.Bad = append(out.Said, a.Lines...), out.Bad || a.Bad
			if a.Run != nil {
				out.Run = a.Run.ID
			}
		}
		out.Asked = clip(strings.Join(asked, "; "), 1000)
		s.asked.forget() // what waits, or is wrong, may be another by now
		s.wrong.forget()
		s.page(w, r, status, p, v, out)
	}
}

// wordsOf makes the words of a verb out of a form: of the line that somebody typed, or of a button. What was typed into
// a field is one word, and cannot become another.
func wordsOf(r *http.Request) []string {
	if line := plain.Line(r.PostFormValue("line")); line != "" {
		return command.SplitWords(line)
	}
	verb := r.PostFormValue("verb")
	if verb == "end" { // of a session
		return []string{"page", "end", r.PostFormValue("session")}
	}
	run, err := strconv.ParseInt(r.PostFormValue("run"), 10, 64)
	if !slices.Contains(buttons, verb) || err != nil {
		return nil
	}
	words := []string{verb, strconv.FormatInt(run, 10)}
	if from := plain.Line(r.PostFormValue("from")); from != "" && verb == "retry" {
		words = append(words, "from", from)
	}
	if at := plain.Line(r.PostFormValue("at")); at != "" && verb == "skip" { // the page may be older than the stage it means
		words = append(words, "at", at)
	}
	if why := plain.Line(r.PostFormValue("because")); why != "" && (verb == "approve" || verb == "deny") {
		words = append(words, "because", why)
	}
	return words
}
