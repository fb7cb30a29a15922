package krb5conf

import "strings"

// The names that krb5.conf may hold by section, each a word: those of MIT krb5's
// krb5.conf(5) and kdc.conf(5), which may stand there too, then those that Heimdal,
// Java, sssd and Samba know beside them, or that older releases knew.
const (
	knownSections = `libdefaults realms domain_realm capaths appdefaults plugins
		kdcdefaults dbdefaults dbmodules logging otp
		login kdc kadmin kcm hdb gssapi password_quality bx509 bx509d httpkadmind get-tickets dcelist`

	knownTickets = `canonicalize forwardable noaddresses proxiable renew_lifetime ticket_lifetime
		addressless no-addresses no_addresses warn_pwexpire allow_hierarchical_capaths name_canon_rules renewable`

	knownPKINIT = `pkinit_anchors pkinit_cert_match pkinit_dh_min_bits pkinit_eku_checking pkinit_identities
		pkinit_identity pkinit_kdc_hostname pkinit_pool pkinit_require_crl_checking pkinit_revoke
		pkinit_allow_upn pkinit_indicator pkinit_kdc_ocsp pkinit_require_freshness pkinit_longhorn pkinit_mapping_file
		pkinit_require_eku pkinit_require_hostname_match pkinit_require_krbtgt_otherName pkinit_trustedCertifiers
		pkinit_win2k pkinit_win2k_require_binding win2k_pkinit`

	knownLibdefaults = `allow_des3 allow_rc4 allow_weak_crypto ap_req_checksum_type ccache_type client_aware_channel_bindings
		clockskew default_ccache_name default_client_keytab_name default_keytab_name default_rcache_name default_realm
		default_tgs_enctypes default_tkt_enctypes dns_canonicalize_hostname dns_fallback dns_lookup_kdc dns_lookup_realm
		dns_uri_lookup enforce_ok_as_delegate err_fmt extra_addresses ignore_acceptor_hostname k5login_authoritative
		k5login_directory kcm_mach_service kcm_socket kdc_default_options kdc_req_checksum_type kdc_timesync
		permitted_enctypes plugin_base_dir preferred_preauth_types qualify_shortname rdns realm_try_domains
		request_timeout safe_checksum_type sitename spake_preauth_groups udp_preference_limit verify_ap_req_nofail
		accept_null_addresses aname2lname-text-db block_dns capath ccapi_library check_pac check-rd-req-server date_format
		default_as_etypes default_cc_collection default_cc_name default_cc_type default_etypes default_etypes_des
		default_file_cache_collections default_keytab_modify_name default_tgs_etypes dns_lookup_realm_labels dns_proxy
		egd_socket enable-kx509 enable_file_cache_iteration encrypt fcache_strict_checking fcache_version
		fcc-mit-ticketflags forward host_timeout http_proxy ignore_addresses kdc_timeout kuserok kx509_gen_key_type
		kx509_gen_rsa_key_size kx509_hostname kx509_store large_message_size large_msg_size log_utc max_retries
		maximum_message_size moduli plugin_dir report_canonical_client_name scan_interfaces srv_lookup srv_try_txt
		time_format transited_realms_reject use_fallback v4_instance_resolve v4_name_convert
		default_checksum dns_srv_weight krb4_config krb4_realms krb4_srvtab krb4_get_tickets krb4_convert krb5_get_tickets
		kdc_supported_enctypes minimum_uid`

	knownRealm = `admin_server auth_to_local auth_to_local_names default_domain disable_encrypted_timestamp http_anchors kdc
		kpasswd_server master_kdc primary_kdc sitename v4_instance_convert v4_realm
		acl_file admin_keytab database_module database_name default_principal_expiration default_principal_flags
		dict_file disable_pac encrypted_challenge_indicator host_based_services iprop_enable iprop_listen iprop_logfile
		iprop_master_ulogsize iprop_port iprop_replica_poll iprop_resync_timeout iprop_slave_poll iprop_ulogsize
		kadmind_listen kadmind_port kdc_listen kdc_max_dgram_reply_size kdc_ports kdc_tcp_listen kdc_tcp_listen_backlog
		kdc_tcp_ports key_stash_file kpasswd_listen kpasswd_port krb524_server master_key_name master_key_type max_life
		max_renewable_life no_host_referral reject_bad_transit restrict_anonymous_to_tgt spake_preauth_indicator
		spake_preauth_kdc_challenge supported_enctypes
		kx509_ca kx509_include_pkinit_san require_initial_kca_tickets tgs_require_subkey v4_domains v4_name_convert`

	knownKDCDefaults = `host_based_services kdc_listen kdc_max_dgram_reply_size kdc_ports kdc_tcp_listen
		kdc_tcp_listen_backlog kdc_tcp_ports no_host_referral restrict_anonymous_to_tgt spake_preauth_groups
		spake_preauth_indicator spake_preauth_kdc_challenge v4_mode kdc_supported_enctypes`

	knownPlugins      = `ccselect pwqual kadm5_hook kadm5_auth clpreauth kdcpreauth hostrealm localauth certauth kdcpolicy audit`
	knownPlugin       = `module enable_only disable`
	sectionsOfSSSD    = `sssd nss pam sudo autofs ssh pac ifp session_recording prompting`
	sectionsOfSamba   = `global homes printers netlogon sysvol print$`
	sectionsOfGSSProx = `gssproxy`
	sectionsOfRealmd  = `active-directory service users`
)

// foreign returns the file that a section is one of, "" for none that is known.
func foreign(section string) string {
	if kind, _, ok := strings.Cut(section, "/"); ok {
		switch kind {
		case "domain", "application", "certmap", "secrets", "prompting":
			return "sssd.conf"
		case "service":
			return "gssproxy.conf"
		}
	}
	for file, list := range map[string]string{
		"sssd.conf": sectionsOfSSSD, "smb.conf": sectionsOfSamba, "gssproxy.conf": sectionsOfGSSProx, "realmd.conf": sectionsOfRealmd,
	} {
		if vocabulary(list).has(section) {
			return file
		}
	}
	return ""
}

// A vocabulary is a list of names that are known.
type vocabulary string

func (v vocabulary) has(name string) bool {
	for known := range strings.FieldsSeq(string(v)) {
		if known == name {
			return true
		}
	}
	return false
}

// nearest returns the known name that a name looks like, "" if there is none: but for
// case and hyphens they are the same, or a letter or two apart.
func (v vocabulary) nearest(name string) string {
	name = folded(name)
	most := 1
	if len(name) > 5 {
		most = 2
	}
	best := ""
	for known := range strings.FieldsSeq(string(v)) {
		if d := apart(name, folded(known), most); d <= most {
			best, most = known, d-1
		}
	}
	return best
}

func folded(name string) string { return strings.ReplaceAll(strings.ToLower(name), "-", "_") }

// maxName is the longest name that is compared.
const maxName = 64

// apart returns in how many letters two names differ, those that change places with
// their neighbour counted once, or more than most.
func apart(a, b string, most int) int {
	if len(a) > maxName || max(len(a)-len(b), len(b)-len(a)) > most {
		return most + 1
	}
	// The last three rows of the table of distances between beginnings of a and b.
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			changed := last[j-1]
			if a[i-1] != b[j-1] {
				changed++
			}
			row[j] = min(changed, last[j]+1, row[j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
