package dns

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/internal/mistake"
	"github.com/jarvisops/jarvis/pipeline"
)

// wish says how much a kind of records is wanted.
type wish string

const (
	off  wish = "off"  // neither written nor removed
	try  wish = "try"  // what the server refuses is said, and the run goes on
	must wish = "must" // what the server refuses stops the run
)

// wishes are those of one host. The address itself is always a must.
type wishes struct {
	reverse, sshfp wish
	ttl            uint32
}

func wishOf(where, text string) (wish, error) {
	switch w := wish(strings.ToLower(text)); w {
	case "":
		return try, nil
	case off, try, must:
		return w, nil
	}
	return "", mistake.At(where, "is %q; off, try or must", text)
}

// defaults reads what the configuration says for all hosts. A host works without a PTR and without fingerprints, so
// that by default a run does not end for want of them, and says what is missing.
func defaults(cfg Config) (d wishes, err error) {
	if d.ttl = cfg.TTL; d.ttl == 0 {
		d.ttl = 300
	}
	var one, two error
	zero := checkTTL("workers.dns.ttl", uint64(d.ttl))
	d.reverse, one = wishOf("workers.dns.reverse", cfg.Reverse)
	d.sshfp, two = wishOf("workers.dns.sshfp", cfg.SSHFP)
	return d, errors.Join(zero, one, two)
}

// checkTTL holds to the bound of RFC 2181 §8, which servers turn into 0.
func checkTTL(where string, ttl uint64) error {
	if ttl == 0 || ttl > 1<<31-1 {
		return mistake.At(where, "is %d; from 1 to 2147483647 seconds", ttl)
	}
	return nil
}

// wishes reads the key `dns` of a clipboard over the defaults.
func (w *Worker) wishes(c *clipboard.Clipboard) (wishes, error) {
	out := w.defaults
	if !c.Has("dns") {
		return out, nil
	}
	said := map[string]string{}
	err := c.Decode("dns", &said)
	if err != nil {
		return out, pipeline.Permanent(err)
	}
	for _, key := range slices.Sorted(maps.Keys(said)) {
		where, err := "instance.dns."+key, error(nil)
		switch key {
		case "reverse":
			out.reverse, err = wishOf(where, said[key])
		case "sshfp":
			out.sshfp, err = wishOf(where, said[key])
		case "ttl":
			var n uint64
			if n, err = strconv.ParseUint(said[key], 10, 64); err != nil {
				err = fmt.Errorf("%s is %q; a whole number of seconds", where, said[key])
			} else {
				err = checkTTL(where, n)
			}
			out.ttl = uint32(min(n, 1<<31))
		default:
			err = fmt.Errorf("there is no key %q in instance.dns; there are reverse, sshfp and ttl", key)
		}
		if err != nil {
			return out, pipeline.Permanent(err)
		}
	}
	return out, nil
}
