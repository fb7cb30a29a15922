package kerberos

import "time"

// SetAfter puts another timer in the place of KeepFresh's.
func (s *Source) SetAfter(after func(time.Duration) <-chan time.Time) { s.after = after }
