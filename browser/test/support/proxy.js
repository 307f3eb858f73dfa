// A TCP proxy in front of the demo: it can be slow, it can be down, and it counts requests and bytes.
import { createServer, connect } from 'node:net';
import { once } from 'node:events';

/** @param {string} url of the demo */
export async function startProxy(url) {
  const { hostname, port } = new URL(url);
  const sockets = new Set();
  let server;
  let address = 0;
  const proxy = {
    url: '',
    /** Milliseconds by which each answer comes later. */
    delay: 0,
    /** @type {{ call: string, bytes: number }[]} requests, and the bytes of their answers, headers included */
    requests: [],
    /** How often there was a request, such as `POST /stepup/challenges/otp/SMS`. */
    count: (call) => proxy.requests.filter((request) => request.call.split('?')[0] === call).length,

    async start() {
      server = createServer((client) => {
        const upstream = connect(Number(port), hostname);
        let current;
        client.on('data', (data) => {
          const found = /^([A-Z]+ \S+) HTTP\/1/.exec(data.toString('latin1'));
          if (found) proxy.requests.push(current = { call: found[1], bytes: 0 });
          upstream.write(data);
        });
        upstream.on('data', (data) => {
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
