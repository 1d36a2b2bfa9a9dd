import com.launchdarkly.eventsource.ErrorStrategy;
import com.launchdarkly.eventsource.EventSource;
import com.launchdarkly.eventsource.MessageEvent;
import java.net.URI;
import java.util.concurrent.TimeUnit;
import okhttp3.OkHttpClient;
import okhttp3.Request;
import okhttp3.Response;
import okhttp3.sse.EventSourceListener;
import okhttp3.sse.EventSources;

/** One client on the JVM: {@code Clients NAME ADDRESS}. Prints the data of each message, as a line of JSON. */
public class Clients {
    static String last = null;

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
        } else {
            EventSource.Builder builder = new EventSource.Builder(URI.create(address));
            if (helped) builder.errorStrategy(ErrorStrategy.alwaysContinue());
            EventSource source = builder.build();
            for (MessageEvent event : source.messages()) show(event.getData());
        }
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
