package access

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// LimitConfig bounds how fast one person may ask.
type LimitConfig struct {
	Burst    int           `yaml:"burst" doc:"commands that one person may give at once" default:"30"`
	Interval time.Duration `yaml:"interval" doc:"one more command after each such time" default:"500ms"`
}

// Limiter counts commands by person. Safe for concurrent use.
type Limiter struct {
	cfg LimitConfig
	now func() time.Time

	mu    sync.Mutex
	byID  map[string]*rate.Limiter
	swept time.Time // when the rested were last forgotten
}

// NewLimiter gives a limiter; zero values of the configuration stand for the defaults.
func NewLimiter(cfg LimitConfig) *Limiter {
	return &Limiter{cfg: cfg.filled(), now: time.Now, byID: map[string]*rate.Limiter{}}
}

func (cfg LimitConfig) filled() LimitConfig {
	if cfg.Burst <= 0 {
		cfg.Burst = 30
	}
	if cfg.Interval <= 0 {
		cfg.Interval = 500 * time.Millisecond
	}
	return cfg
}

// Set takes other limits. They hold for everybody from now on; what was counted before is forgotten.
func (l *Limiter) Set(cfg LimitConfig) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cfg, l.byID = cfg.filled(), map[string]*rate.Limiter{}
}

// maxTracked bounds the memory that strangers with ever new names can take.
const maxTracked = 10000

// Take counts one command. wait is 0 when it may go on, else the time until the next may.
func (l *Limiter) Take(who string) (wait time.Duration) { return l.take(who, 1) }

// Peek says what Take would, without counting.
func (l *Limiter) Peek(who string) (wait time.Duration) { return l.take(who, 0) }

// take is Take with n 1, and Peek with n 0, which makes no entry. While maxTracked names have something to wait for, a
// new one has to wait as well.
func (l *Limiter) take(who string, n int) (wait time.Duration) {
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.byID[who]
	if r == nil && n == 0 {
		return 0
	}
	if r == nil {
		if len(l.byID) >= maxTracked && now.Sub(l.swept) >= l.cfg.Interval {
			l.swept = now
			for id, r := range l.byID {
				if r.TokensAt(now) >= float64(l.cfg.Burst) { // rested: to forget them gives them nothing
					delete(l.byID, id)
				}
			}
		}
		if len(l.byID) >= maxTracked {
			return l.cfg.Interval
		}
		r = rate.NewLimiter(rate.Every(l.cfg.Interval), l.cfg.Burst)
		l.byID[who] = r
	}
	if r.TokensAt(now) >= 1 && (n == 0 || r.AllowN(now, n)) {
		return 0
	}
	return max(time.Duration((1-r.TokensAt(now))*float64(l.cfg.Interval)), time.Millisecond)
}
