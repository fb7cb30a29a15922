/*
 * profdump prints what MIT krb5 makes of configuration files.
 *
 *   profdump tree FILE...          every section and relation
 *   profdump duration < lines      krb5_string_to_deltat
 *   profdump enctypes              permitted_enctypes of $KRB5_CONFIG
 *   profdump realms HOST...        [domain_realm] of $KRB5_CONFIG
 *
 * Build: cc -o profdump profdump.c -lkrb5
 */
#include <krb5.h>
#include <profile.h>
#include <stdio.h>
#include <string.h>

static void
quote(const char *s)
{
    putchar('"');
    for (; *s; s++) {
        unsigned char c = *s;
        if (c < 32 || c > 126 || c == '"' || c == '\\')
            printf("\\x%02x", c);
        else
            putchar(c);
    }
    putchar('"');
}

static void
path(const char **names, int n)
{
    int i;

    for (i = 0; i < n; i++) {
        if (i)
            putchar('/');
        quote(names[i]);
    }
}

static void
tree(profile_t p, const char **names, int n)
{
    char **list, **values;
    int i, j;

    names[n] = NULL;
    if (profile_get_relation_names(p, names, &list) == 0) {
        for (i = 0; list[i]; i++) {
            names[n] = list[i];
            names[n + 1] = NULL;
            if (profile_get_values(p, names, &values))
                continue;
            path(names, n + 1);
            printf(" =");
            for (j = 0; values[j]; j++) {
                putchar(' ');
                quote(values[j]);
            }
            putchar('\n');
            profile_free_list(values);
        }
        profile_free_list(list);
    }
    names[n] = NULL;
    if (n < 100 && profile_get_subsection_names(p, names, &list) == 0) {
        for (i = 0; list[i]; i++) {
            for (j = 0; strcmp(list[j], list[i]); j++)
                ;
            if (j < i)
                continue;
            names[n] = list[i];
            path(names, n + 1);
            puts(" {}");
            tree(p, names, n + 1);
        }
        profile_free_list(list);
    }
}

static int
typed(int argc, char **argv)
{
    krb5_context ctx;
    krb5_enctype *etypes;
    char **realms;
    int i;

    if (krb5_init_context(&ctx))
        return puts("ERR"), 1;
    if (!strcmp(argv[1], "enctypes")) {
        if (krb5_get_permitted_enctypes(ctx, &etypes))
            return puts("ERR"), 0;
        for (i = 0; etypes[i]; i++)
            printf(i ? " %d" : "%d", etypes[i]);
        putchar('\n');
        return 0;
    }
    for (i = 2; i < argc; i++) {
        if (krb5_get_host_realm(ctx, argv[i], &realms))
            puts("ERR");
        else
            puts(realms[0]);
    }
    return 0;
}

int
main(int argc, char **argv)
{
    const char *names[128];
    char line[4096];
    krb5_deltat d;
    profile_t p;

    if (argc < 2)
        return 2;
    if (!strcmp(argv[1], "duration")) {
        while (fgets(line, sizeof(line), stdin)) {
            line[strcspn(line, "\n")] = '\0';
            if (krb5_string_to_deltat(line, &d))
                puts("ERR");
            else
                printf("%d\n", (int)d);
        }
        return 0;
    }
    if (strcmp(argv[1], "tree"))
        return typed(argc, argv);
    if (profile_init((const_profile_filespec_t *)(argv + 2), &p))
        return puts("ERR"), 0;
    tree(p, names, 0);
    return 0;
}
