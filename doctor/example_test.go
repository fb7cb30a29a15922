package doctor_test

import (
	"context"
	"fmt"
	"log"

	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/doctor"
	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/kerberos"
)

// The service has no principal in its realm, which a request's error would tell too;
// what else is right or wrong it would not.
func ExampleExamine() {
	realm, err := fakekdc.New(fakekdc.WithRealm("EXAMPLE.TEST"), fakekdc.WithUser("alice", "secret"), fakekdc.WithHosts("localhost"))
	if err != nil {
		log.Fatal(err)
	}
	defer realm.Close()
	server := fakeweb.Serve(realm, fakeweb.New(realm, "", fakeweb.Options{}), fakeweb.ServerOptions{})

	report, err := doctor.Examine(context.Background(), server.URL(), doctor.Options{Client: client.Options{
		Principal: "alice", Password: kerberos.NewSecret("secret"), Krb5ConfText: realm.Config(),
	}})
	if err != nil {
		log.Fatal(err) // the URL is none
	}
	for _, check := range report.Checks {
		if check.Status == doctor.Fail {
			fmt.Println(check.Name, check.Facts["error"])
		}
	}
	fmt.Println(len(report.Try), "to try")
	// Output:
	// ticket KDC_ERR_S_PRINCIPAL_UNKNOWN
	// 1 to try
}
