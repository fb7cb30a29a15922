package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/masterzen/winrm"
	"github.com/masterzen/winrm/soap"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/client"
)

const soapType = "application/soap+xml;charset=UTF-8"

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 64 << 20

// A Transporter is a [winrm.Transporter] that authenticates with Kerberos and,
// over plain HTTP, encrypts messages. Set it with
// [winrm.Parameters].TransportDecorator. User and password of the winrm.Client
// mean nothing to it: the credentials are those of the options.
type Transporter struct {
	options client.WinRMOptions
	url     string
	http    *http.Client
}

var _ winrm.Transporter = (*Transporter)(nil)

// NewTransporter returns a transporter for one winrm.Client.
func NewTransporter(o client.WinRMOptions) *Transporter { return &Transporter{options: o} }

// Transport makes the HTTP client. winrm.NewClientWithParameters calls it.
func (t *Transporter) Transport(e *winrm.Endpoint) error {
	if e.Insecure || len(e.Cert) > 0 || len(e.Key) > 0 {
		return errors.New("an endpoint without verified certificate, or with one of the client's, is nothing for Kerberos: use http, where messages are encrypted, or https with CACert")
	}
	o := t.options
	if o.Transport == nil {
		tr := kerbchain.NewTransport()
		tr.ResponseHeaderTimeout = e.Timeout
		tr.TLSClientConfig = &tls.Config{ServerName: e.TLSServerName, MinVersion: tls.VersionTLS12}
		if len(e.CACert) > 0 {
			tr.TLSClientConfig.RootCAs = x509.NewCertPool()
			if !tr.TLSClientConfig.RootCAs.AppendCertsFromPEM(e.CACert) {
				return errors.New("the endpoint's CACert holds no certificate in PEM form")
			}
		}
		o.Transport = tr
	}
	u := url.URL{Scheme: "http", Host: net.JoinHostPort(e.Host, strconv.Itoa(e.Port)), Path: "/wsman"}
	if e.HTTPS {
		u.Scheme = "https"
	}
	c, err := client.NewWinRM(o)
	if err != nil {
		return err
	}
	t.url, t.http = u.String(), c
	return nil
}

// Post sends a message and returns the answer. A fault is an error with the
// fault in its text, where winrm looks for it.
func (t *Transporter) Post(_ *winrm.Client, message *soap.SoapMessage) (string, error) {
	resp, err := t.http.Post(t.url, soapType, strings.NewReader(message.String()))
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	switch {
	case err != nil:
		return "", fmt.Errorf("reading the answer: %w", err)
	case resp.StatusCode != http.StatusOK:
		return "", fmt.Errorf("http error %d: %s", resp.StatusCode, b)
	}
	return string(b), nil
}

// Close closes connections that idle.
func (t *Transporter) Close() {
	if t.http != nil {
		t.http.CloseIdleConnections()
	}
}
