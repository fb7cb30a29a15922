package stage

import (
	"net/http"

	"github.com/kerbchain/kerbchain/middleware"
)

// Host returns host and port of the URL of r, for events and errors; "" where it has none.
func Host(r *http.Request) string {
	if r.URL == nil {
		return ""
	}
	return middleware.TargetOfURL(r.URL).HostPort()
}
