package tasklog

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/store"
)

// Of several nodes one follows a repository and starts its tasks. A push that any of them hears of reaches it, and a
// task that runs on a node's own machine stays with that node.

const chanPoke = "jarvis_tasks" // the payload is the name of a repository

// Poke fetches at once, on whichever node follows the repository.
func (r *Repo) Poke() {
	r.pokeHere()
	db := r.log.world.DB
	if db == nil || !db.Shared() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := db.Notify(ctx, chanPoke, r.cfg.Name); err != nil {
		r.log.world.Log.Warn("tell the other nodes of a push; they fetch at their own times", "repo", r.cfg.Name, "err", err)
	}
}

func (r *Repo) pokeHere() {
	select {
	case r.poke <- struct{}{}:
	default:
	}
}

// listen hears of pushes that another node was told of.
func (l *Log) listen(ctx context.Context) {
	if len(l.repos) == 0 || !l.world.DB.Shared() {
		return
	}
	said := l.world.DB.Listen(ctx, chanPoke)
	for {
		select {
		case <-ctx.Done():
			return
		case x := <-said:
			if r := l.find(x.Payload); r != nil {
				r.pokeHere()
			}
		}
	}
}

// nodeKey is where a run notes on which node its task began: only that machine knows how it stands.
const nodeKey = "task_node"

// stays makes sure that a task which runs on a node's machine is seen to by that node. While the other lives, it takes
// the run up in its turn; when it does not, a person has to look.
func (r *Repo) stays(ctx context.Context, c *clipboard.Clipboard) error {
	db := r.log.world.DB
	me := db.Node().Name
	at := ""
	if c != nil && c.Has(nodeKey) {
		at = c.Get(nodeKey)
	}
	if at == me || c == nil {
		return nil
	}
	if at == "" {
		if err := c.Set(nodeKey, me); err != nil {
			return err
		}
		return pipeline.Keep(ctx, c)
	}
	lives, err := db.Lives(ctx)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(lives, func(l store.Life) bool { return l.State == store.Lives && l.Node.Name == at }) {
		return pipeline.Wait(elsewhereAgain, fmt.Sprintf("it runs on the node %s, which goes on with it", at))
	}
	return pipeline.AskPerson(fmt.Errorf("it began on the node %s, which is gone, and only that machine knows how it stands; start Jarvis there and say `retry`, or look there and say `skip` or `cancel`", at))
}

// elsewhereAgain is how often a run whose task is on another node's machine changes hands until it is with that one.
const elsewhereAgain = 3 * time.Second
