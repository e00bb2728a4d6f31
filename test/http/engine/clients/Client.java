import java.io.InputStream;
import java.net.HttpURLConnection;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;
import java.util.Iterator;
import java.util.List;

/** HttpClient, which offers HTTP/2 with each request, and HttpURLConnection: `java Client.java keep|old|cut URL COUNT`. */
public class Client {
    static final byte[] BODY = new byte[5_000];

    public static void main(String[] args) throws Exception {
        String url = args[1];
        int count = Integer.parseInt(args[2]);
        if (args[0].equals("cut")) cut(url);
        HttpClient client = HttpClient.newHttpClient();
        for (int n = 0; n < count; n++) {
            URI uri = URI.create(url + "/loud/" + n);
            String text = args[0].equals("keep") ? ask(client, uri, n) : askOld(uri, n);
            if (!text.equals("200 answer to /" + n)) throw new IllegalStateException(n + ": " + text);
        }
        System.out.println("done");
        System.exit(0);
    }

    static String ask(HttpClient client, URI uri, int n) throws Exception {
        HttpRequest.Builder request = HttpRequest.newBuilder(uri);
        // A publisher that does not know its length sends chunks.
        if (n % 3 == 1) request.POST(BodyPublishers.ofByteArrays(List.of(BODY)));
        if (n % 3 == 2) request.POST(BodyPublishers.ofByteArray(BODY)).expectContinue(true);
        var answer = client.send(request.build(), BodyHandlers.ofString());
        return answer.statusCode() + " " + answer.body();
    }

    static String askOld(URI uri, int n) throws Exception {
        HttpURLConnection connection = (HttpURLConnection) uri.toURL().openConnection();
        if (n % 3 > 0) {
            connection.setDoOutput(true);
            if (n % 3 == 1) connection.setChunkedStreamingMode(1_000);
            try (var output = connection.getOutputStream()) {
                output.write(BODY);
            }
        }
        try (InputStream input = connection.getInputStream()) {
            return connection.getResponseCode() + " " + new String(input.readAllBytes());
        }
    }

    static void cut(String url) throws Exception {
        Iterable<byte[]> endless = () -> new Iterator<>() {
            int sent = 0;

            public boolean hasNext() {
                return true;
            }

            public byte[] next() {
                if (sent++ > 20) Runtime.getRuntime().halt(0);
                return BODY;
            }
        };
        HttpRequest request = HttpRequest.newBuilder(URI.create(url + "/loud/cut"))
            .POST(BodyPublishers.ofByteArrays(endless)).build();
        HttpClient.newHttpClient().send(request, BodyHandlers.ofString());
    }
}
