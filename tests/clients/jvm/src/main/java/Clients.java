import com.launchdarkly.eventsource.ErrorStrategy;
import com.launchdarkly.eventsource.EventSource;
import com.launchdarkly.eventsource.MessageEvent;
import jakarta.ws.rs.client.ClientBuilder;
import jakarta.ws.rs.sse.SseEventSource;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import okhttp3.OkHttpClient;
import okhttp3.Request;
import okhttp3.Response;
import okhttp3.sse.EventSourceListener;
import okhttp3.sse.EventSources;
import org.springframework.core.ParameterizedTypeReference;
import org.springframework.http.codec.ServerSentEvent;
import org.springframework.web.reactive.function.client.WebClient;
import reactor.core.publisher.Flux;
import reactor.util.retry.Retry;

/** One client on the JVM: {@code Clients NAME ADDRESS}. Prints the data of each message, as a line of JSON. */
public class Clients {
    static volatile String last = null;

    static synchronized void show(String data) {
        System.out.println("\"" + data.replace("\\", "\\\\").replace("\"", "\\\"").replace("\n", "\\n") + "\"");
        System.out.flush();
    }

    public static void main(String[] args) throws Exception {
        String name = args[0], address = args[args.length - 1];
        boolean helped = args.length > 2;
        if (name.equals("okhttp-sse")) {
            connect(new OkHttpClient(), address, helped);
            Thread.sleep(600_000);
        } else if (name.equals("HttpClient")) {
            lines(address, helped);
        } else if (name.equals("jersey")) {
            SseEventSource source = SseEventSource.target(ClientBuilder.newClient().target(address)).build();
            source.register(event -> show(event.readData()), error -> System.err.println("error: " + error));
            source.open();
            Thread.sleep(600_000);
        } else if (name.equals("webclient")) {
            Flux<ServerSentEvent<String>> events = events(WebClient.create(), address);
            if (helped) events = events.repeat().retryWhen(Retry.fixedDelay(Long.MAX_VALUE, Duration.ofMillis(200)));
            events.doOnNext(event -> {
                if (event.id() != null) last = event.id();
                if (event.data() != null) show(event.data());
            }).blockLast();
        } else {
            EventSource.Builder builder = new EventSource.Builder(URI.create(address));
            if (helped) builder.errorStrategy(ErrorStrategy.alwaysContinue());
            EventSource source = builder.build();
            for (MessageEvent event : source.messages()) show(event.getData());
        }
    }

    /** Reads lines only: an id counts from its line on. */
    static void lines(String address, boolean helped) throws Exception {
        HttpClient client = HttpClient.newHttpClient();
        do {
            HttpRequest.Builder request = HttpRequest.newBuilder(URI.create(address));
            if (last != null) request.header("Last-Event-ID", last);
            try (Stream<String> lines = client.send(request.build(), HttpResponse.BodyHandlers.ofLines()).body()) {
                lines.forEach(line -> {
                    if (line.startsWith("id: ")) last = line.substring(4);
                    if (line.startsWith("data: ")) show(line.substring(6));
                });
            } catch (IOException | UncheckedIOException e) {
                System.err.println("cut: " + e);
            }
            TimeUnit.MILLISECONDS.sleep(200);
        } while (helped);
    }

    static Flux<ServerSentEvent<String>> events(WebClient client, String address) {
        return Flux.defer(() -> client.get().uri(URI.create(address))
            .headers(headers -> { if (last != null) headers.set("Last-Event-ID", last); })
            .retrieve().bodyToFlux(new ParameterizedTypeReference<ServerSentEvent<String>>() {}));
    }

    static void connect(OkHttpClient client, String address, boolean helped) {
        Request.Builder request = new Request.Builder().url(address);
        if (last != null) request.header("Last-Event-ID", last);
        EventSources.createFactory(client).newEventSource(request.build(), new EventSourceListener() {
            @Override public void onEvent(okhttp3.sse.EventSource source, String id, String type, String data) {
                show(data);
                if (id != null) last = id;
            }
            @Override public void onClosed(okhttp3.sse.EventSource source) { System.err.println("closed"); again(); }
            @Override public void onFailure(okhttp3.sse.EventSource source, Throwable t, Response response) { System.err.println("failure: " + t); again(); }
            void again() {
                if (!helped) return;
                try { TimeUnit.MILLISECONDS.sleep(200); } catch (InterruptedException e) { return; }
                connect(client, address, true);
            }
        });
    }
}
