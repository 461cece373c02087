package agent

import (
	"context"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// notify tells the service manager, if there is one, what the agent is doing.
func notify(state string) {
	_, _ = daemon.SdNotify(false, state) // a manager that does not listen is no reason to stop
}

// watchdog tells the service manager twice in its interval that the agent lives, as long as alive says so. Without a watchdog it does nothing.
func watchdog(ctx context.Context, alive func() bool) error {
	every, err := daemon.SdWatchdogEnabled(false)
	if err != nil || every <= 0 {
		return nil
	}
	tick := time.NewTicker(every / 2)
	defer tick.Stop()
	for {
		if alive() {
			notify(daemon.SdNotifyWatchdog)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
