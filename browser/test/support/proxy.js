// A TCP proxy in front of the demo: it can be slow or down, it can lose an answer or give one of its own, and it counts
// requests and bytes.
import { createServer, connect } from 'node:net';
import { once } from 'node:events';

/** @param {string} url of the demo */
export async function startProxy(url) {
  const { hostname, port } = new URL(url);
  const sockets = new Set();
  let server;
  let address = 0;
  let losing = {};
  const proxy = {
    url: '',
    /** Milliseconds by which each answer comes later. */
    delay: 0,
    /** What requests are answered without the demo: `{ 'POST /transfers': [409, { errorCode: 'STATE_INVALID' }] }`. */
    answers: {},
    /** @type {{ call: string, bytes: number }[]} requests, and the bytes of their answers, headers included */
    requests: [],
    /** How often there was a request, such as `POST /stepup/challenges/otp/SMS`. */
    count: (call) => proxy.requests.filter((request) => request.call.split('?')[0] === call).length,

    /**
     * The demo gets this request once, and its answer is lost: the connection is cut. A browser repeats it by itself on a
     * connection that it used before: that is lost, too. Without a request, no answer is lost any longer.
     */
    lose(call) { losing = { call }; },

    async start() {
      server = createServer((client) => {
        const upstream = connect(Number(port), hostname);
        let current;
        client.on('data', (data) => {
          const found = /^([A-Z]+ \S+) HTTP\/1/.exec(data.toString('latin1'));
          if (found) {
            proxy.requests.push(current = { call: found[1], bytes: 0, answer: proxy.answers[found[1]], lost: losing.call === found[1] });
            if (current.answer) client.write(written(...current.answer));
            if (current.lost && losing.reached) client.destroy();
            if (current.lost) losing.reached = true;
          }
          if (!current?.answer && !client.destroyed) upstream.write(data);
        });
        upstream.on('data', (data) => {
          if (current?.lost) {
            client.destroy();
            return;
          }
          if (current) current.bytes += data.length;
          if (proxy.delay) setTimeout(() => client.writable && client.write(data), proxy.delay);
          else client.write(data);
        });
        for (const [socket, other] of [[client, upstream], [upstream, client]]) {
          sockets.add(socket);
          socket.on('error', () => {});
          socket.on('close', () => {
            sockets.delete(socket);
            setTimeout(() => other.destroy(), proxy.delay);
          });
        }
      });
      server.listen(address, '127.0.0.1');
      await once(server, 'listening');
      address = server.address().port;
      proxy.url = `http://127.0.0.1:${address}`;
    },

    /** Connections are cut, and refused until the next start. */
    async stop() {
      const closed = once(server, 'close');
      server.close();
      sockets.forEach((socket) => socket.destroy());
      await closed;
    },
  };
  await proxy.start();
  return proxy;
}

/** The body of a scenario with a proxy between the browser and the demo. */
export const throughProxy = (body) => async (me) => {
  const proxy = await startProxy(me.url);
  me.url = proxy.url;
  try {
    await body(me, proxy);
  } finally {
    await proxy.stop();
  }
};

/** A response, as it is on the wire. */
function written(status, body) {
  const json = JSON.stringify(body);
  return `HTTP/1.1 ${status} Answer\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(json)}\r\n\r\n${json}`;
}
