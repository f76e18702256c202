package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// manager is the service manager that started us, as sd_notify(3) speaks to it. Without one it stays silent.
type manager struct {
	addr  *net.UnixAddr // nil: there is none
	every time.Duration // how often the watchdog is to be answered; 0: it does not ask
	log   *slog.Logger
}

// newManager reads what the manager has put into the environment, and takes it out: programs that we start are not to
// speak for us.
func newManager(log *slog.Logger) *manager {
	m := &manager{log: log}
	take := func(name string) string {
		v := os.Getenv(name)
		_ = os.Unsetenv(name)
		return v
	}
	usec, err := strconv.ParseInt(take("WATCHDOG_USEC"), 10, 64)
	if pid := take("WATCHDOG_PID"); err == nil && usec > 0 && (pid == "" || pid == strconv.Itoa(os.Getpid())) {
		m.every = time.Duration(usec) * time.Microsecond / 2
	}
	if path := take("NOTIFY_SOCKET"); path != "" {
		if strings.HasPrefix(path, "@") { // an abstract one (unix(7))
			path = "\x00" + path[1:]
		}
		m.addr = &net.UnixAddr{Net: "unixgram", Name: path}
	}
	return m
}

// say sends assignments, as in READY=1.
func (m *manager) say(lines ...string) {
	if m.addr == nil {
		return
	}
	c, err := net.DialUnix("unixgram", nil, m.addr)
	if err == nil {
		_, err = c.Write([]byte(strings.Join(lines, "\n")))
		_ = c.Close()
	}
	if err != nil {
		m.log.Warn("tell the service manager", "err", err)
	}
}

// reloading says that the configuration is being read again; it wants the time with it.
func (m *manager) reloading() {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	m.say("RELOADING=1", fmt.Sprintf("MONOTONIC_USEC=%d", ts.Nano()/1000))
}

// watchdog says that we live, twice as often as is asked for, while the database takes writes. When it has not for so
// long, the service manager ends us and starts us again.
func (m *manager) watchdog(ctx context.Context, healthy func(context.Context) error) error {
	if m.addr == nil || m.every == 0 {
		<-ctx.Done()
		return nil
	}
	sick := false
	for {
		err := healthy(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			m.say("WATCHDOG=1")
			if sick {
				m.say("STATUS=ready")
			}
		case !sick:
			m.log.Error("the watchdog is not answered while the database takes no writes", "err", err)
			m.say("STATUS=the database takes no writes: " + strings.ReplaceAll(err.Error(), "\n", " "))
		}
		sick = err != nil
		if !sleep(ctx, m.every) {
			return nil
		}
	}
}
