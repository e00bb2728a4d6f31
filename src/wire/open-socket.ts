import { connect as connectTcp, isIP, type Socket } from 'node:net'
import { type ConnectionOptions, connect as connectTls } from 'node:tls'

/** Until a dead peer behind a quiet connection is noticed, the operating system's part apart. */
const KEEP_ALIVE_DELAY_MS = 60_000

/** What happens to the bytes a socket receives. */
export interface SocketReader {
  /** Where the next bytes are to be put. */
  room(): Buffer
  /** So many bytes have been put there. */
  received(bytes: number): void
}

/**
 * Opens a socket that reads straight into the reader's room, so that a large response is not copied together from
 * pieces. Nagle is off: a request is written in one go and nobody wins by holding it back.
 */
export function openSocket(
  { host, port }: { readonly host: string; readonly port: number },
  tls: ConnectionOptions | undefined,
  reader: SocketReader,
  onConnect: () => void
): Socket {
  const onread = {
    buffer: () => reader.room(),
    callback: (bytes: number) => {
      reader.received(bytes)
      return true
    }
  }
  const socket =
    tls === undefined
      ? connectTcp({ host, port, onread }, onConnect)
      : connectTls(
          { ...(isIP(host) ? {} : { servername: host }), ...tls, host, port, onread } as ConnectionOptions,
          onConnect
        )
  socket.setNoDelay(true)
  socket.setKeepAlive(true, KEEP_ALIVE_DELAY_MS)
  return socket
}
