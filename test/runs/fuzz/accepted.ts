import { Server, type Socket } from 'node:net'
import type { Address } from './client.js'

/** Longest until a server of this process accepts a connection. */
const PATIENCE_MS = 60_000

const accepted = new Set<string>()
const waiting = new Map<string, () => void>()
const keyOf = (serverPort: number | undefined, clientPort: number | undefined): string => `${serverPort} ${clientPort}`

// Node's channel for accepted sockets is told too late: an engine may have taken the connection from its socket by then.
const { emit } = Server.prototype
Server.prototype.emit = function notingAccepted(this: Server, event: string | symbol, ...args: unknown[]): boolean {
  if (event !== 'connection') return Reflect.apply(emit, this, [event, ...args]) as boolean
  const socket = args[0] as Socket
  note(socket)
  return Reflect.apply(emit, this, [event, socket]) as boolean
}

function note({ localPort, remotePort }: Socket): void {
  const key = keyOf(localPort, remotePort)
  const wake = waiting.get(key)
  waiting.delete(key)
  if (wake === undefined) accepted.add(key)
  else wake()
}

/**
 * Resolves when the server of a connection has accepted it. A listening socket is asked once per tick, so the last of
 * many connections is accepted many ticks after its client was told that it is connected.
 */
export function whenAccepted({ port }: Address, client: Socket): Promise<void> {
  const key = keyOf(port, client.localPort)
  if (accepted.delete(key)) return Promise.resolve()
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`connection ${key} is not accepted`)), PATIENCE_MS)
    waiting.set(key, () => {
      clearTimeout(timer)
      resolve()
    })
  })
}
