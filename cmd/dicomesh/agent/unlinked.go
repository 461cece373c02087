package agent

import (
	"maps"
	"sync"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
)

// unlinked is what a site without a link is not known to have got: the studies that have changed here since it was last heard. While nothing can be compared with it that is all that is known of what it lacks.
type unlinked struct {
	mu    sync.Mutex
	sites map[string]map[dedup.UID]time.Time // by site: when each changed first
	late  map[dedup.UID]time.Time            // studies that changed a moment ago, and when they last did: some are not known to have got through when a link is found to be dead
	full  int                                // of late: when those of longer ago are left out again
}

// moment is for how long it is remembered that a study changed: longer than it takes to find that a link is dead.
const moment = 3 * time.Minute

// mostUnlinked bounds what is remembered of one site. Beyond it, it lacks at least so many.
const mostUnlinked = 1 << 16

// gone says that there is no link to a site, and when something last came from it. It may be said again.
func (u *unlinked) gone(site string, heard time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.sites == nil {
		u.sites = map[string]map[dedup.UID]time.Time{}
	}
	if u.sites[site] != nil {
		return
	}
	u.sites[site] = map[dedup.UID]time.Time{}
	for study, at := range u.late {
		if !at.Before(heard) {
			u.sites[site][study] = at
		}
	}
}

// back says that what a site holds has been compared with what is here.
func (u *unlinked) back(site string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.sites, site)
}

// changed says that a study has changed here.
func (u *unlinked) changed(study dedup.UID, now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.late) >= u.full {
		maps.DeleteFunc(u.late, func(_ dedup.UID, at time.Time) bool { return now.Sub(at) > moment })
		u.full = max(1024, 2*len(u.late))
	}
	if u.late == nil || len(u.late) >= mostUnlinked {
		u.late, u.full = map[dedup.UID]time.Time{}, 1024
	}
	u.late[study] = now
	for _, studies := range u.sites {
		if _, has := studies[study]; !has && len(studies) < mostUnlinked {
			studies[study] = now
		}
	}
}

// since tells of each study that a site cannot have got as it is here, and when it changed first, while found returns true.
func (u *unlinked) since(site string, found func(study dedup.UID, at time.Time) bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for study, at := range u.sites[site] {
		if !found(study, at) {
			return
		}
	}
}
