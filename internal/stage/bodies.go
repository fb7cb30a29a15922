package stage

import "net/http"

// HasBody reports whether r has a body that is not known to be empty.
func HasBody(r *http.Request) bool { return r.Body != nil && r.Body != http.NoBody }

// CloseRequest closes the body of a request that is not sent.
func CloseRequest(r *http.Request) {
	if r.Body != nil {
		_ = r.Body.Close() // why the request is not sent is what matters
	}
}

// CloseResponse closes the body of a response that nobody gets; resp may be nil.
func CloseResponse(resp *http.Response) {
	if resp != nil && resp.Body != nil {
		_ = resp.Body.Close() // what takes its place is decided already
	}
}
