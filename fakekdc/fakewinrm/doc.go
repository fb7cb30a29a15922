// Package fakewinrm is a WinRM endpoint ([MS-WSMV]) of a realm of package fakekdc, for
// tests of clients that seal their messages.
//
//	winrm := fakewinrm.New(realm, "HTTP/localhost", fakewinrm.Options{})
//	server := fakeweb.Serve(realm, winrm, fakeweb.ServerOptions{})
//
// It opens what it is sent as strictly as Windows does, and forges answers by request:
// see [Forgeries].
//
// TEST ONLY, as fakekdc is.
//
// [MS-WSMV]: https://learn.microsoft.com/openspecs/windows_protocols/ms-wsmv
package fakewinrm
