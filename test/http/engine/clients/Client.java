import java.io.IOException;
import java.io.InputStream;
import java.net.HttpURLConnection;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublisher;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;

/** HttpClient, which offers HTTP/2 with each request, and HttpURLConnection: `java Client new|old URL STEP...`. */
public class Client {
    static final HttpClient client = HttpClient.newHttpClient();

    public static void main(String[] args) throws Exception {
        for (int at = 2; at < args.length; at++) {
            String[] step = (args[at] + (args[at].split(" ").length == 2 ? " none 0" : "")).split(" ");
            if (step[0].equals("wait")) {
                Thread.sleep(Integer.parseInt(step[1]));
                continue;
            }
            URI uri = URI.create(args[1] + step[1]);
            int size = Integer.parseInt(step[3]);
            try {
                if (args[0].equals("new")) ask(uri, step[0], step[2], size);
                else askOld(uri, step[0], step[2], size);
            } catch (IOException e) {
                System.out.println("error " + e);
            }
        }
        System.exit(0);
    }

    static InputStream body(String kind, int size) {
        return new InputStream() {
            int left = kind.startsWith("stall") ? 10 : size;

            public int read() {
                if (left-- > 0) return 'x';
                try {
                    if (kind.startsWith("stall")) Thread.sleep(size);
                } catch (InterruptedException e) {
                    throw new IllegalStateException(e);
                }
                return -1;
            }
        };
    }

    static void ask(URI uri, String method, String kind, int size) throws Exception {
        BodyPublisher body = BodyPublishers.ofInputStream(() -> body(kind, size));
        if (kind.equals("none")) body = BodyPublishers.noBody();
        if (kind.equals("length") || kind.equals("expect")) body = BodyPublishers.ofByteArray(new byte[size]);
        if (kind.equals("stall")) body = BodyPublishers.fromPublisher(body, 1000);
        var answer = client.send(
            HttpRequest.newBuilder(uri).method(method, body).expectContinue(kind.equals("expect")).build(),
            BodyHandlers.ofByteArray());
        say(answer.statusCode(), answer.body());
    }

    static void askOld(URI uri, String method, String kind, int size) throws Exception {
        HttpURLConnection connection = (HttpURLConnection) uri.toURL().openConnection();
        connection.setRequestMethod(method);
        if (!kind.equals("none")) {
            connection.setDoOutput(true);
            if (kind.equals("expect")) connection.setRequestProperty("Expect", "100-Continue");
            if (kind.endsWith("chunks")) connection.setChunkedStreamingMode(1_000);
            else connection.setFixedLengthStreamingMode(kind.equals("stall") ? 1000 : size);
            try (var output = connection.getOutputStream()) {
                body(kind, size).transferTo(output);
            } catch (IOException e) {
                // The answer may have come before the body was sent.
            }
        }
        int status = connection.getResponseCode();
        try (InputStream input = status < 400 ? connection.getInputStream() : connection.getErrorStream()) {
            say(status, input == null ? new byte[0] : input.readAllBytes());
        }
    }

    static void say(int status, byte[] text) {
        System.out.println(status + " " + text.length + " " + (text.length < 40 ? new String(text) : ""));
    }
}
