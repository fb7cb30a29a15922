//go:build !windows

package krb5conf

import (
	"errors"
	"io/fs"
)

func ownerOf(fs.File) (string, error) { return "", errors.ErrUnsupported }

func processSID() (string, error) { return "", errors.ErrUnsupported }
