import type { Server } from 'node:http'
import type { Socket } from 'node:net'

/** The description of the symbol under which Node's HTTP server keeps its connections. */
const CONNECTIONS = 'http.server.connections'

interface Connection {
  readonly socket: Socket
}

type List = 'all' | 'idle'
type Connections = Record<List, () => Connection[]>

/**
 * Lets a server close its connections in the order in which they came. Node has them in the order of the real clock and of
 * addresses in memory, which is another one each time.
 */
export function closeInOrder(server: Server): void {
  const places = new WeakMap<Socket, number>()
  let count = 0
  server.on('connection', socket => places.set(socket, ++count))
  server.once('listening', () => {
    const connections = connectionsOf(server)
    for (const list of ['all', 'idle'] as const) {
      const inSomeOrder = connections[list].bind(connections)
      connections[list] = () => inSomeOrder().sort((a, b) => places.get(a.socket)! - places.get(b.socket)!)
    }
  })
}

function connectionsOf(server: Server): Connections {
  const name = Object.getOwnPropertySymbols(server).find(({ description }) => description === CONNECTIONS)
  if (name === undefined) throw new Error('this version of Node keeps the connections of an HTTP server elsewhere')
  return (server as unknown as Record<symbol, Connections>)[name]!
}
