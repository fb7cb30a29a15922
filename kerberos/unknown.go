package kerberos

import (
	"sync"
	"time"
)

// unknowns remembers for a minute which services a KDC did not know, so that a
// chain that tries one name after the other does not ask it again and again.
type unknowns struct {
	mu   sync.Mutex
	told map[[2]string]refusal // by session and SPN
}

type refusal struct {
	err   error
	until time.Time
}

const (
	maxUnknown = 1024
	unknownFor = time.Minute
)

// about returns what the KDC said of a service within the last minute.
func (u *unknowns) about(session, spn string, now time.Time) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	key := [2]string{session, spn}
	r, ok := u.told[key]
	if !ok {
		return nil
	}
	if left := r.until.Sub(now); left <= 0 || left > unknownFor {
		delete(u.told, key)
		return nil
	}
	return r.err
}

func (u *unknowns) note(session, spn string, now time.Time, err error) {
	if !unknownService(err) {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.told == nil {
		u.told = make(map[[2]string]refusal)
	}
	if len(u.told) >= maxUnknown {
		clear(u.told)
	}
	u.told[[2]string{session, spn}] = refusal{err, now.Add(unknownFor)}
}
