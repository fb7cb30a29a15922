package krb5conf

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/windows"
)

// processSID returns the security identifier of the user as whom the process runs.
func processSID() (string, error) {
	u, err := windows.GetCurrentProcessToken().GetTokenUser()
	if err != nil {
		return "", err
	}
	return u.User.Sid.String(), nil
}

// ownerOf returns the security identifier of who owns a file that is open.
func ownerOf(f fs.File) (string, error) {
	file, ok := f.(*os.File)
	if !ok {
		return "", errors.ErrUnsupported
	}
	sd, err := windows.GetSecurityInfo(windows.Handle(file.Fd()), windows.SE_FILE_OBJECT, windows.OWNER_SECURITY_INFORMATION)
	if err != nil {
		return "", err
	}
	sid, _, err := sd.Owner()
	if err != nil {
		return "", err
	}
	return sid.String(), nil
}
