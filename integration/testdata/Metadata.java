import java.sql.*;
import java.util.*;

/** Asks the JDBC driver's DatabaseMetaData about a table, and fails at the first surprise. */
public class Metadata {
    static void want(Object got, Object expected) {
        if (!String.valueOf(got).equals(String.valueOf(expected))) {
            System.out.println("got " + got + ", want " + expected);
            System.exit(1);
        }
    }

    /** rows gives the columns of all rows of r, or how many rows there are if there are no columns. */
    static Object rows(ResultSet r, String... columns) throws SQLException {
        List<List<String>> out = new ArrayList<>();
        while (r.next()) {
            List<String> row = new ArrayList<>();
            for (String c : columns) row.add(r.getString(c));
            out.add(row);
        }
        return columns.length == 0 ? out.size() : out;
    }

    public static void main(String[] args) throws Exception {
        Connection c = DriverManager.getConnection(args[0], "me", "");
        try (Statement s = c.createStatement()) {
            s.execute("CREATE TABLE described (country text NOT NULL DEFAULT 'x', member bool, age int8)");
            s.execute("INSERT INTO described (country, member, age) VALUES ('de', true, 3), ('fr', false, 4)");
        }
        DatabaseMetaData m = c.getMetaData();
        want(rows(m.getCatalogs(), "TABLE_CAT"), "[[quipu]]");
        want(rows(m.getSchemas(), "TABLE_SCHEM"), "[[information_schema], [pg_catalog], [public], [quipu]]");
        want(rows(m.getTables(null, "public", "%", null), "TABLE_NAME", "TABLE_TYPE"), "[[described, TABLE]]");
        want(rows(m.getColumns(null, "public", "described", "%"), "COLUMN_NAME", "TYPE_NAME", "IS_NULLABLE", "COLUMN_DEF"),
            "[[country, text, NO, 'x'::text], [member, bool, YES, null], [age, int8, YES, null], [count, int8, NO, 1]]");
        want(rows(m.getPrimaryKeys(null, "public", "described")), 0);
        want(rows(m.getImportedKeys(null, "public", "described")), 0);
        want(rows(m.getIndexInfo(null, "public", "described", false, false)), 0);
        want((int) rows(m.getTypeInfo()) > 40, true);
        want(rows(m.getFunctionColumns(null, "public", "chi2_p", null), "COLUMN_NAME"), "[[returnValue], [$1], [$2]]");
        want(m.getMaxColumnsInIndex(), 32);

        // The driver goes over to binary after some runs of one statement.
        try (PreparedStatement p = c.prepareStatement("SELECT age, count FROM described WHERE age >= ? AND country = ANY (?)")) {
            for (int i = 0; i < 8; i++) {
                p.setLong(1, 4);
                p.setArray(2, c.createArrayOf("text", new String[] {"de", "fr"}));
                want(rows(p.executeQuery(), "age", "count"), "[[4, 1]]");
            }
        }
        c.setAutoCommit(false);
        try (Statement s = c.createStatement()) {
            s.setFetchSize(100);
            want(rows(s.executeQuery("SELECT * FROM generate_series(1, 1000)")), 1000);
        }
        c.rollback();
        System.out.println("ok");
    }
}
