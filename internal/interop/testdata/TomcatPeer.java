import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.io.InputStream;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.security.Principal;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import javax.security.auth.login.AppConfigurationEntry;
import javax.security.auth.login.AppConfigurationEntry.LoginModuleControlFlag;
import javax.security.auth.login.Configuration;
import org.apache.catalina.Context;
import org.apache.catalina.authenticator.SpnegoAuthenticator;
import org.apache.catalina.connector.Connector;
import org.apache.catalina.realm.GenericPrincipal;
import org.apache.catalina.realm.RealmBase;
import org.apache.catalina.startup.Tomcat;
import org.apache.tomcat.util.descriptor.web.LoginConfig;
import org.apache.tomcat.util.descriptor.web.SecurityCollection;
import org.apache.tomcat.util.descriptor.web.SecurityConstraint;

/**
 * A Tomcat on loopback that answers those who authenticate to HTTP/localhost with
 * length and SHA-256 of the body. Arguments are a port, a folder, a keytab and the
 * most that is read of a body that nobody wants (maxSwallowSize).
 */
public class TomcatPeer {
    public static void main(String[] args) throws Exception {
        int port = Integer.parseInt(args[0]);
        String dir = args[1];
        Configuration.setConfiguration(new Keytab(args[2]));

        Tomcat tomcat = new Tomcat();
        tomcat.setBaseDir(dir);
        Connector connector = new Connector("HTTP/1.1");
        connector.setPort(port);
        connector.setProperty("address", "127.0.0.1");
        connector.setProperty("maxSwallowSize", args[3]);
        tomcat.setConnector(connector);
        Context context = tomcat.addContext("", dir);
        context.setLoginConfig(new LoginConfig("SPNEGO", null, null, null));
        SecurityCollection all = new SecurityCollection();
        all.addPattern("/*");
        SecurityConstraint constraint = new SecurityConstraint();
        constraint.addCollection(all);
        constraint.addAuthRole("**");
        context.addConstraint(constraint);
        context.setRealm(new Everybody());
        context.getPipeline().addValve(new SpnegoAuthenticator());
        Tomcat.addServlet(context, "sum", new Sum());
        context.addServletMappingDecoded("/*", "sum");
        tomcat.start();
        tomcat.getServer().await();
    }

    /** Takes whoever has a ticket. */
    private static class Everybody extends RealmBase {
        @Override
        protected String getPassword(String name) {
            return null;
        }

        @Override
        protected Principal getPrincipal(String name) {
            return new GenericPrincipal(name, List.of());
        }
    }

    private static class Sum extends HttpServlet {
        @Override
        protected void service(HttpServletRequest request, HttpServletResponse response) throws IOException {
            MessageDigest digest;
            try {
                digest = MessageDigest.getInstance("SHA-256");
            } catch (NoSuchAlgorithmException e) {
                throw new IOException(e);
            }
            long length = 0;
            byte[] buffer = new byte[1 << 16];
            InputStream in = request.getInputStream();
            for (int n = in.read(buffer); n >= 0; n = in.read(buffer)) {
                digest.update(buffer, 0, n);
                length += n;
            }
            response.setContentType("text/plain");
            response.getWriter().printf("%d %s", length, HexFormat.of().formatHex(digest.digest()));
        }
    }

    /** The login of an acceptor, as a file would have it. */
    private static class Keytab extends Configuration {
        private final String path;

        Keytab(String path) {
            this.path = path;
        }

        @Override
        public AppConfigurationEntry[] getAppConfigurationEntry(String name) {
            return new AppConfigurationEntry[] {
                new AppConfigurationEntry(
                        "com.sun.security.auth.module.Krb5LoginModule",
                        LoginModuleControlFlag.REQUIRED,
                        Map.of("useKeyTab", "true", "keyTab", path, "principal", "HTTP/localhost",
                                "storeKey", "true", "doNotPrompt", "true", "isInitiator", "false")),
            };
        }
    }
}
