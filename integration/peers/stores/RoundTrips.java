import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;

/** Asks one query again and again over one connection of the JDBC driver: URL, SQL, argument ("" asks in the simple protocol), value, seconds. */
public class RoundTrips {
    interface Ask {
        String one() throws Exception;
    }

    public static void main(String[] args) throws Exception {
        boolean kept = !args[2].isEmpty();
        String url = args[0] + (kept ? "" : "&preferQueryMode=simple");
        try (Connection c = DriverManager.getConnection(url); PreparedStatement s = c.prepareStatement(args[1])) {
            if (kept) {
                s.setString(1, args[2]);
            }
            Ask ask = () -> {
                try (ResultSet r = s.executeQuery()) {
                    r.next();
                    return r.getString(1);
                }
            };
            if (!ask.one().equals(args[3])) {
                throw new Exception(ask.one() + " is not " + args[3]);
            }
            double seconds = Double.parseDouble(args[4]);
            rate(ask, Math.max(1, seconds)); // until the machine's code is compiled
            System.out.println(rate(ask, seconds));
        }
    }

    static double rate(Ask ask, double seconds) throws Exception {
        long began = System.nanoTime();
        for (long n = 0;; n += 50) {
            double elapsed = (System.nanoTime() - began) / 1e9;
            if (elapsed >= seconds) {
                return n / elapsed;
            }
            for (int i = 0; i < 50; i++) {
                ask.one();
            }
        }
    }
}
