//go:build !unix

package krb5conf

import "errors"

func mkfifo(string) error { return errors.ErrUnsupported }
