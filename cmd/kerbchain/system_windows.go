package main

import "github.com/kerbchain/kerbchain/client"

// bySystem has Windows sign.
func (f *getFlags) bySystem(o client.Options) (client.Options, error) {
	o.Credentials = client.CredentialsSystem
	o.Getenv = nil // Windows does not go by the environment
	return o, nil
}
