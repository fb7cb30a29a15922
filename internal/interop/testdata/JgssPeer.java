import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import com.sun.net.httpserver.HttpsConfigurator;
import com.sun.net.httpserver.HttpsServer;
import java.io.IOException;
import java.net.HttpURLConnection;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.URL;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyFactory;
import java.security.KeyStore;
import java.security.MessageDigest;
import java.security.PrivilegedExceptionAction;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Executors;
import javax.net.ssl.HttpsURLConnection;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;
import javax.security.auth.Subject;
import javax.security.auth.callback.Callback;
import javax.security.auth.callback.NameCallback;
import javax.security.auth.callback.PasswordCallback;
import javax.security.auth.kerberos.KerberosTicket;
import javax.security.auth.login.AppConfigurationEntry;
import javax.security.auth.login.AppConfigurationEntry.LoginModuleControlFlag;
import javax.security.auth.login.Configuration;
import javax.security.auth.login.LoginContext;
import org.ietf.jgss.ChannelBinding;
import org.ietf.jgss.GSSContext;
import org.ietf.jgss.GSSCredential;
import org.ietf.jgss.GSSException;
import org.ietf.jgss.GSSManager;
import org.ietf.jgss.GSSName;
import org.ietf.jgss.MessageProp;
import org.ietf.jgss.Oid;
import sun.security.jgss.krb5.internal.TlsChannelBindingImpl;

/**
 * A GSS-API peer on OpenJDK's JGSS and JAAS, spoken to over HTTP/1.1. Arguments
 * are the ports for HTTP and HTTPS, on loopback, a certificate and its key in PEM
 * form, and the keytab of HTTP/localhost.
 *
 * POST /login?as=NAME&with=password|keytab|ccache|renewed+ccache[&path=FILE]
 *      body: password                        -> what tickets NAME/WITH has now
 * POST /get?as=NAME/WITH&url=URL[&mech=krb5][&mutual=1][&conf=1][&deleg=1]
 *      [&bind=none|wrong|plain|tls][&cert=FILE]    -> what a client of that name got
 * POST /connection?as=NAME/WITH&url=URL[&cert=FILE] -> what HttpURLConnection got
 * GET  /protected[?bind=none]                -> a greeting, after Negotiate
 *
 * Contexts of the following belong to connections:
 *
 * POST /accept    body: token of the initiator      -> ours
 * POST /initiate  body: empty, then the acceptor's; header X-Mutual -> ours,
 *      of alice/password
 * POST /wrap      body: token of wrap               -> upper case, wrapped alike
 * POST /mic       body: token over MESSAGE          -> ours over MESSAGE
 */
public class JgssPeer {
    static final byte[] MESSAGE = "a message of its own".getBytes(StandardCharsets.US_ASCII);
    static final GSSManager manager = GSSManager.getInstance();
    static final Map<String, Subject> subjects = new ConcurrentHashMap<>();
    static final Map<InetSocketAddress, GSSContext> contexts = new ConcurrentHashMap<>();
    static Oid krb5, spnego;
    static Subject service;
    static byte[] binding; // tls-server-end-point of our own certificate

    public static void main(String[] args) throws Exception {
        krb5 = new Oid("1.2.840.113554.1.2.2");
        spnego = new Oid("1.3.6.1.5.5.2");
        Certificate cert = certificate(args[2]);
        binding = endPoint(cert);
        service = login("HTTP/localhost", "keytab", args[4], null);
        HttpsServer secure = HttpsServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), Integer.parseInt(args[1])), 0);
        secure.setHttpsConfigurator(new HttpsConfigurator(serverTLS(cert, args[3])));
        HttpServer plain = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), Integer.parseInt(args[0])), 0);
        for (HttpServer s : List.of(secure, plain)) {
            s.createContext("/", JgssPeer::handle);
            s.setExecutor(Executors.newCachedThreadPool());
            s.start();
        }
    }

    static void handle(HttpExchange e) throws IOException {
        int status = 200;
        byte[] out;
        try {
            byte[] body = e.getRequestBody().readAllBytes();
            Map<String, String> q = query(e.getRequestURI());
            switch (e.getRequestURI().getPath()) {
                case "/protected":
                    guarded(e, q);
                    return;
                case "/login":
                    Subject s = login(q.get("as"), q.get("with"), q.get("path"), new String(body, StandardCharsets.UTF_8).toCharArray());
                    subjects.put(q.get("as") + "/" + q.get("with"), s);
                    out = tickets(s).getBytes(StandardCharsets.UTF_8);
                    break;
                case "/get":
                    out = get(q).getBytes(StandardCharsets.UTF_8);
                    break;
                case "/connection":
                    out = connection(q).getBytes(StandardCharsets.UTF_8);
                    break;
                case "/accept":
                    out = accept(e.getRemoteAddress(), body);
                    break;
                case "/initiate":
                    q.putIfAbsent("as", "alice/password");
                    if (e.getRequestHeaders().containsKey("X-Mutual")) {
                        q.put("mutual", "yes");
                    }
                    out = initiate(e.getRemoteAddress(), q, body);
                    break;
                case "/wrap":
                    out = wrap(contexts.get(e.getRemoteAddress()), body);
                    break;
                case "/mic":
                    out = mic(contexts.get(e.getRemoteAddress()), body);
                    break;
                default:
                    status = 404;
                    out = new byte[0];
            }
        } catch (Exception x) {
            status = 500;
            out = trace(x).getBytes(StandardCharsets.UTF_8);
        }
        answer(e, status, out);
    }

    static void answer(HttpExchange e, int status, byte[] out) throws IOException {
        e.sendResponseHeaders(status, out.length == 0 ? -1 : out.length);
        e.getResponseBody().write(out);
        e.close();
    }

    static String trace(Throwable x) {
        StringBuilder b = new StringBuilder();
        for (; x != null; x = x.getCause()) {
            b.append(x).append('\n');
        }
        return b.toString();
    }

    static Map<String, String> query(URI uri) {
        Map<String, String> q = new HashMap<>();
        if (uri.getRawQuery() != null) {
            for (String pair : uri.getRawQuery().split("&")) {
                String[] kv = pair.split("=", 2);
                q.put(kv[0], java.net.URLDecoder.decode(kv[1], StandardCharsets.UTF_8));
            }
        }
        return q;
    }

    // Logging in.

    static Subject login(String name, String with, String path, char[] password) throws Exception {
        Map<String, String> o = new HashMap<>();
        o.put("principal", name);
        o.put("refreshKrb5Config", "true");
        switch (with) {
            case "keytab":
                o.putAll(Map.of("useKeyTab", "true", "keyTab", path, "storeKey", "true", "doNotPrompt", "true"));
                // An acceptor needs its keys alone.
                o.put("isInitiator", String.valueOf(!name.startsWith("HTTP/")));
                break;
            case "ccache":
                o.putAll(Map.of("useTicketCache", "true", "ticketCache", path, "doNotPrompt", "true"));
                break;
            case "renewed ccache":
                o.putAll(Map.of("useTicketCache", "true", "ticketCache", path, "doNotPrompt", "true", "renewTGT", "true"));
                break;
        }
        Configuration conf = new Configuration() {
            @Override
            public AppConfigurationEntry[] getAppConfigurationEntry(String ignored) {
                return new AppConfigurationEntry[] {
                    new AppConfigurationEntry("com.sun.security.auth.module.Krb5LoginModule", LoginModuleControlFlag.REQUIRED, o)};
            }
        };
        LoginContext c = new LoginContext("peer", new Subject(), callbacks -> {
            for (Callback b : callbacks) {
                if (b instanceof NameCallback) {
                    ((NameCallback) b).setName(name);
                } else if (b instanceof PasswordCallback) {
                    ((PasswordCallback) b).setPassword(password);
                }
            }
        }, conf);
        c.login();
        return c.getSubject();
    }

    static String tickets(Subject s) {
        StringBuilder b = new StringBuilder();
        for (KerberosTicket t : s.getPrivateCredentials(KerberosTicket.class)) {
            b.append(t.getClient()).append(" for ").append(t.getServer()).append(", session key ").append(t.getSessionKeyType());
            if (t.isForwardable()) {
                b.append(", forwardable");
            }
            b.append('\n');
        }
        return b.toString();
    }

    // The client.

    static GSSName localhost() throws GSSException {
        return manager.createName("HTTP@localhost", GSSName.NT_HOSTBASED_SERVICE);
    }

    static GSSContext context(Map<String, String> q) throws Exception {
        GSSContext c = manager.createContext(localhost(), "krb5".equals(q.get("mech")) ? krb5 : spnego, null, GSSContext.DEFAULT_LIFETIME);
        c.requestMutualAuth(q.containsKey("mutual"));
        c.requestConf(q.containsKey("conf"));
        c.requestInteg(true);
        c.requestCredDeleg(q.containsKey("deleg"));
        return c;
    }

    static String get(Map<String, String> q) throws Exception {
        return Subject.doAs(subjects.get(q.get("as")), (PrivilegedExceptionAction<String>) () -> {
            HttpClient.Builder b = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1);
            GSSContext c = context(q);
            if (q.containsKey("cert")) {
                Certificate cert = certificate(q.get("cert"));
                b.sslContext(clientTLS(cert));
                switch (q.getOrDefault("bind", "none")) {
                    case "wrong":
                        c.setChannelBinding(new TlsChannelBindingImpl("tls-server-end-point:another".getBytes(StandardCharsets.US_ASCII)));
                        break;
                    case "plain": // as the API's class has it, with other address types
                        c.setChannelBinding(new ChannelBinding(endPoint(cert)));
                        break;
                    case "tls": // as the JDK itself does for LDAP and HTTPS
                        c.setChannelBinding(new TlsChannelBindingImpl(endPoint(cert)));
                        break;
                }
            }
            byte[] token = c.initSecContext(new byte[0], 0, 0);
            HttpRequest r = HttpRequest.newBuilder(URI.create(q.get("url")))
                .header("Authorization", "Negotiate " + Base64.getEncoder().encodeToString(token)).build();
            HttpResponse<String> resp = b.build().send(r, HttpResponse.BodyHandlers.ofString());
            StringBuilder out = new StringBuilder();
            out.append("status ").append(resp.statusCode()).append('\n');
            for (String line : resp.headers().allValues("WWW-Authenticate")) {
                if (line.startsWith("Negotiate ")) {
                    byte[] in = Base64.getDecoder().decode(line.substring(10));
                    try {
                        c.initSecContext(in, 0, in.length);
                    } catch (GSSException x) {
                        out.append("refused ").append(trace(x));
                    }
                }
            }
            out.append("established ").append(c.isEstablished());
            out.append(", mutual ").append(c.getMutualAuthState());
            if (c.isEstablished()) {
                out.append(", conf ").append(c.getConfState()).append(", deleg ").append(c.getCredDelegState());
            }
            return out.append('\n').append(resp.body()).toString();
        });
    }

    /** The JDK's own Negotiate, which asks for neither delegation nor proof. */
    static String connection(Map<String, String> q) throws Exception {
        return Subject.doAs(subjects.get(q.get("as")), (PrivilegedExceptionAction<String>) () -> {
            HttpURLConnection c = (HttpURLConnection) new URL(q.get("url")).openConnection();
            if (c instanceof HttpsURLConnection) {
                ((HttpsURLConnection) c).setSSLSocketFactory(clientTLS(certificate(q.get("cert"))).getSocketFactory());
            }
            String out = "status " + c.getResponseCode() + '\n';
            return c.getResponseCode() == 200 ? out + new String(c.getInputStream().readAllBytes(), StandardCharsets.UTF_8) : out;
        });
    }

    // The server.

    static void guarded(HttpExchange e, Map<String, String> q) throws Exception {
        String header = e.getRequestHeaders().getFirst("Authorization");
        if (header == null || !header.startsWith("Negotiate ")) {
            e.getResponseHeaders().add("WWW-Authenticate", "Negotiate");
            answer(e, 401, new byte[0]);
            return;
        }
        byte[] in = Base64.getDecoder().decode(header.substring(10));
        boolean bound = e instanceof com.sun.net.httpserver.HttpsExchange && !"none".equals(q.get("bind"));
        int status = 200;
        String text = Subject.doAs(service, (PrivilegedExceptionAction<String>) () -> {
            GSSContext c = manager.createContext((GSSCredential) null);
            try {
                if (bound) {
                    c.setChannelBinding(new TlsChannelBindingImpl(binding));
                }
                byte[] out = c.acceptSecContext(in, 0, in.length);
                if (out != null) {
                    e.getResponseHeaders().add("WWW-Authenticate", "Negotiate " + Base64.getEncoder().encodeToString(out));
                }
                String s = "hello " + c.getSrcName() + ", established " + c.isEstablished();
                if (c.isEstablished() && c.getCredDelegState()) {
                    s += ", " + delegated(c.getDelegCred());
                }
                return s + "\n";
            } catch (GSSException x) {
                return "refused: " + trace(x);
            }
        });
        if (text.startsWith("refused")) {
            e.getResponseHeaders().add("WWW-Authenticate", "Negotiate");
            status = 401;
        }
        answer(e, status, text.getBytes(StandardCharsets.UTF_8));
    }

    /** Acts as the client with what it delegated: a ticket is fetched and accepted. */
    static String delegated(GSSCredential cred) throws Exception {
        // Tickets are kept in the subject that acts: a new one has none.
        byte[] token = Subject.doAs(new Subject(), (PrivilegedExceptionAction<byte[]>) () -> {
            GSSContext i = manager.createContext(localhost(), spnego, cred, GSSContext.DEFAULT_LIFETIME);
            return i.initSecContext(new byte[0], 0, 0);
        });
        GSSContext a = manager.createContext((GSSCredential) null);
        a.acceptSecContext(token, 0, token.length);
        return "acting as " + a.getSrcName();
    }

    // Contexts of connections.

    static byte[] accept(InetSocketAddress who, byte[] token) throws Exception {
        return Subject.doAs(service, (PrivilegedExceptionAction<byte[]>) () -> {
            GSSContext c = manager.createContext((GSSCredential) null);
            byte[] out = c.acceptSecContext(token, 0, token.length);
            contexts.put(who, c);
            return out == null ? new byte[0] : out;
        });
    }

    static byte[] initiate(InetSocketAddress who, Map<String, String> q, byte[] token) throws Exception {
        return Subject.doAs(subjects.get(q.get("as")), (PrivilegedExceptionAction<byte[]>) () -> {
            GSSContext c = contexts.get(who);
            if (token.length == 0) {
                Map<String, String> o = new HashMap<>(q);
                o.putAll(Map.of("mech", "krb5", "conf", "1"));
                c = context(o);
                contexts.put(who, c);
            }
            byte[] out = c.initSecContext(token, 0, token.length);
            return out == null ? new byte[0] : out;
        });
    }

    static byte[] wrap(GSSContext c, byte[] token) throws GSSException {
        MessageProp p = new MessageProp(false);
        String plain = new String(c.unwrap(token, 0, token.length, p), StandardCharsets.ISO_8859_1);
        if (p.isDuplicateToken() || p.isOldToken() || p.isUnseqToken() || p.isGapToken()) {
            throw new GSSException(GSSException.DUPLICATE_TOKEN);
        }
        byte[] out = plain.toUpperCase(Locale.ROOT).getBytes(StandardCharsets.ISO_8859_1);
        return c.wrap(out, 0, out.length, new MessageProp(0, p.getPrivacy()));
    }

    static byte[] mic(GSSContext c, byte[] token) throws GSSException {
        c.verifyMIC(token, 0, token.length, MESSAGE, 0, MESSAGE.length, new MessageProp(false));
        return c.getMIC(MESSAGE, 0, MESSAGE.length, new MessageProp(false));
    }

    // Certificates.

    static Certificate certificate(String path) throws Exception {
        return CertificateFactory.getInstance("X.509").generateCertificate(Files.newInputStream(Path.of(path)));
    }

    static byte[] endPoint(Certificate cert) throws Exception {
        byte[] name = "tls-server-end-point:".getBytes(StandardCharsets.US_ASCII);
        byte[] sum = MessageDigest.getInstance("SHA-256").digest(cert.getEncoded());
        byte[] out = java.util.Arrays.copyOf(name, name.length + sum.length);
        System.arraycopy(sum, 0, out, name.length, sum.length);
        return out;
    }

    static SSLContext clientTLS(Certificate cert) throws Exception {
        KeyStore ks = KeyStore.getInstance("PKCS12");
        ks.load(null, null);
        ks.setCertificateEntry("server", cert);
        TrustManagerFactory f = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        f.init(ks);
        SSLContext c = SSLContext.getInstance("TLS");
        c.init(null, f.getTrustManagers(), null);
        return c;
    }

    static SSLContext serverTLS(Certificate cert, String key) throws Exception {
        List<String> lines = new ArrayList<>(Files.readAllLines(Path.of(key)));
        lines.removeIf(l -> l.startsWith("-----"));
        KeyStore ks = KeyStore.getInstance("PKCS12");
        ks.load(null, null);
        ks.setKeyEntry("server", KeyFactory.getInstance("EC").generatePrivate(
            new PKCS8EncodedKeySpec(Base64.getDecoder().decode(String.join("", lines)))), new char[0], new Certificate[] {cert});
        KeyManagerFactory f = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
        f.init(ks, new char[0]);
        SSLContext c = SSLContext.getInstance("TLS");
        c.init(f.getKeyManagers(), null, null);
        return c;
    }
}
