package mutual

import (
	"fmt"
	"strings"
)

// A Mode says what happens to responses that are not verified.
type Mode int

// The modes. A value that is none of them acts as Required.
const (
	// Required refuses responses without proof. Error responses (status 400 and
	// above) without a token pass, since servers seldom sign them; put sanitize
	// outside this stage to empty them.
	Required Mode = iota
	// Optional verifies tokens, and passes responses without one.
	Optional
	// Disabled passes everything and looks at no token.
	Disabled
)

var modes = [...]string{Required: "required", Optional: "optional", Disabled: "disabled"}

// String returns "required", "optional" or "disabled".
func (m Mode) String() string {
	if m < 0 || int(m) >= len(modes) {
		return fmt.Sprintf("mode %d", int(m))
	}
	return modes[m]
}

// ParseMode returns the mode of that name, in any case.
func ParseMode(s string) (Mode, error) {
	for m, name := range modes {
		if strings.EqualFold(s, name) {
			return Mode(m), nil
		}
	}
	return Required, fmt.Errorf("mutual: unknown mode %q: want required, optional or disabled", s)
}
