package sanitize

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxWait bounds how long a response that nobody proved can make a client wait.
const maxWait = time.Hour

// retryAfter returns the Retry-After of a response with status 429 or 503 (RFC 9110
// section 10.2.3), written anew from its value: a number of seconds or a date,
// neither further away than maxWait. It is empty where there is none that can be
// read, or more than one.
func retryAfter(resp *http.Response, now time.Time) string {
	if resp.StatusCode != http.StatusTooManyRequests && resp.StatusCode != http.StatusServiceUnavailable {
		return ""
	}
	lines := resp.Header.Values("Retry-After")
	if len(lines) != 1 {
		return ""
	}
	value := strings.Trim(lines[0], " \t")
	if value != "" && strings.Trim(value, "0123456789") == "" {
		seconds, err := strconv.ParseUint(value, 10, 31)
		if err != nil { // out of range
			seconds = uint64(maxWait / time.Second)
		}
		return strconv.FormatUint(min(seconds, uint64(maxWait/time.Second)), 10)
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return ""
	}
	if latest := now.Add(maxWait); at.After(latest) {
		at = latest
	}
	return at.UTC().Format(http.TimeFormat)
}
