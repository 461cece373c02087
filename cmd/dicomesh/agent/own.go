package agent

import (
	"fmt"
	"os"

	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin"
	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin/events"
)

// shutState closes the state folder to others than its owner, and says so if it was open: the site's keys lie in it.
func (s *site) shutState() {
	dir := s.config.Paths.State
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm()&0o077 == 0 {
		return
	}
	said := fmt.Sprintf("others could look into the state folder (mode %04o), in which the site's keys are: it is closed to them now", info.Mode().Perm())
	if err := os.Chmod(dir, 0o700); err != nil {
		said = fmt.Sprintf("others can look into the state folder (mode %04o), in which the site's keys are: close it to them (chmod 700)", info.Mode().Perm())
	}
	s.events.Add(events.Alarm, "", s.mark.Site+": "+said)
	s.log.Warn(said, "state", dir)
}

// stateGone is the alarm of a site whose state folder was removed, or renamed, while it runs.
const stateGone = "its state folder is not there any more. It runs on with what it has open, and will not start again without it: put it back before it ends"

// watchState says when the state folder has no name any more, and when it has one again.
func (s *site) watchState() {
	same, err := sameFolder(s.private, s.config.Paths.State)
	if err != nil || s.stateless.Swap(!same) != same {
		return
	}
	if same {
		s.events.Add(events.Alarm, "", s.mark.Site+": its state folder is there again")
		s.log.Info("the state folder is there again")
		return
	}
	s.events.Add(events.Alarm, "", s.mark.Site+": "+stateGone)
	s.log.Error("the state folder is not there any more", "state", s.config.Paths.State)
}

// ownAlarms are what is odd about this site itself.
func (s *site) ownAlarms() []admin.Alarm {
	if s.stateless.Load() {
		return []admin.Alarm{{Site: s.mark.Site, Reason: stateGone}}
	}
	return []admin.Alarm{}
}
