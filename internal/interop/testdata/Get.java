import java.net.HttpURLConnection;
import java.net.URL;

/** Prints what a URL says, as a program of somebody's would that knows nothing of Kerberos. */
public class Get {
    public static void main(String[] args) throws Exception {
        HttpURLConnection c = (HttpURLConnection) new URL(args[0]).openConnection();
        System.out.print(c.getResponseCode() + " " + new String(c.getInputStream().readAllBytes(), "UTF-8"));
    }
}
