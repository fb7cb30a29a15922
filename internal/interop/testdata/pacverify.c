/* Verifies the PAC of a ticket in a credential cache with MIT's library.
 *
 * pacverify KEYTAB SERVER CLIENT: the keytab has the keys of the server and of
 * krbtgt, the cache is the default one. Prints the kinds of the PAC's buffers
 * and the name in it. Compiled with DUMP, it prints the PAC as it is. */
#include <krb5/krb5.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static krb5_context ctx;

static void
check(krb5_error_code code, const char *what)
{
    if (code == 0)
        return;
    fprintf(stderr, "%s: %s\n", what, krb5_get_error_message(ctx, code));
    exit(1);
}

static krb5_keyblock
key_of(krb5_keytab kt, krb5_principal name, krb5_enctype etype)
{
    krb5_keytab_entry entry;

    check(krb5_kt_get_entry(ctx, kt, name, 0, etype, &entry), "key");
    return entry.key;
}

int
main(int argc, char **argv)
{
    krb5_ccache cc;
    krb5_cc_cursor cursor;
    krb5_creds cred;
    krb5_keytab kt;
    krb5_principal server, client, tgs;
    krb5_ticket *ticket = NULL;
    krb5_keyblock key, kdc;
    krb5_pac pac = NULL;
    krb5_ui_4 *types;
    krb5_timestamp authtime;
    size_t n, i;
    char *name;

    if (argc != 4)
        return 2;
    check(krb5_init_context(&ctx), "context");
    check(krb5_kt_resolve(ctx, argv[1], &kt), "keytab");
    check(krb5_parse_name(ctx, argv[2], &server), "server");
    check(krb5_parse_name(ctx, argv[3], &client), "client");
    check(krb5_cc_default(ctx, &cc), "cache");
    check(krb5_cc_start_seq_get(ctx, cc, &cursor), "cache");
    while (ticket == NULL && krb5_cc_next_cred(ctx, cc, &cursor, &cred) == 0) {
        if (krb5_principal_compare(ctx, cred.server, server) && krb5_principal_compare(ctx, cred.client, client))
            check(krb5_decode_ticket(&cred.ticket, &ticket), "ticket");
    }
    if (ticket == NULL) {
        fprintf(stderr, "no such ticket\n");
        return 1;
    }
    check(krb5_server_decrypt_ticket_keytab(ctx, kt, ticket), "decrypt");
    check(krb5_build_principal(ctx, &tgs, server->realm.length, server->realm.data, "krbtgt", server->realm.data, NULL), "krbtgt");
#ifdef DUMP
    {
        krb5_authdata **found;

        check(krb5_find_authdata(ctx, ticket->enc_part2->authorization_data, NULL, KRB5_AUTHDATA_WIN2K_PAC, &found), "PAC");
        if (found == NULL || found[1] != NULL)
            return 1;
        return fwrite(found[0]->contents, found[0]->length, 1, stdout) != 1;
    }
#endif
    key = key_of(kt, server, ticket->enc_part.enctype);
    kdc = key_of(kt, tgs, ticket->enc_part.enctype); /* all are of one type */

    /* The signatures of the service, of the KDC, and over the ticket. */
    check(krb5_kdc_verify_ticket(ctx, ticket->enc_part2, ticket->server, &key, &kdc, &pac), "krb5_kdc_verify_ticket");
    if (pac == NULL) {
        fprintf(stderr, "no PAC\n");
        return 1;
    }
    check(krb5_pac_verify(ctx, pac, ticket->enc_part2->times.authtime, ticket->enc_part2->client, &key, &kdc), "krb5_pac_verify");
    check(krb5_pac_get_types(ctx, pac, &n, &types), "types");
    for (i = 0; i < n; i++)
        printf("%u ", types[i]);
    check(krb5_pac_get_client_info(ctx, pac, &authtime, &name), "client info");
    if (authtime != ticket->enc_part2->times.authtime)
        return 1;
    printf("%s\n", name);
    return 0;
}
