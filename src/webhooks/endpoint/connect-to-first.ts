import { isIP, type Socket } from 'node:net'
import { connect as connectTls, type SecureContext, type TLSSocket } from 'node:tls'
import { onAbort } from '../../core/ending.js'
import { AttemptFailure, codeText } from './attempt-failure.js'

/** Time after which the next address is tried as well. */
const NEXT_ADDRESS_MS = 300

/** Begins to connect to an address of IPv4 or IPv6. */
export type Connect = (place: { readonly host: string; readonly port: number }) => Socket

/**
 * A connection to the first of these addresses that takes one. The others are tried when it refuses, and when it is slow.
 *
 * @throws AttemptFailure `refused`, or the reason of the signal
 */
export function connectToFirst(
  addresses: readonly string[],
  port: number,
  connect: Connect,
  signal: AbortSignal
): Promise<Socket> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted()
    const connecting = new Set<Socket>()
    const rest = [...addresses]
    let timer: NodeJS.Timeout | undefined
    const end = (): void => {
      clearTimeout(timer)
      leave()
      for (const socket of connecting) socket.destroy()
    }
    const next = (): void => {
      clearTimeout(timer)
      const host = rest.shift()
      if (host === undefined) return
      const socket = connect({ host, port })
      connecting.add(socket)
      const failed = (error: Error): void => {
        connecting.delete(socket)
        if (rest.length > 0) next()
        else if (connecting.size === 0) {
          end()
          reject(new AttemptFailure('refused', `${host} port ${port}: ${codeText(error)}`))
        }
      }
      socket.once('error', failed)
      socket.once('connect', () => {
        socket.off('error', failed)
        connecting.delete(socket)
        end()
        resolve(socket)
      })
      timer = setTimeout(next, NEXT_ADDRESS_MS)
    }
    const leave = onAbort(signal, () => {
      rest.length = 0
      end()
      reject(signal.reason)
    })
    next()
  })
}

/**
 * TLS over a connection. The certificate must be that of the name, by an authority of the context.
 *
 * @param name the host name or address of the url
 * @throws AttemptFailure `tls`, or the reason of the signal
 */
export function startTls(
  socket: Socket,
  name: string,
  secureContext: SecureContext,
  signal: AbortSignal
): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted()
    const whole = name.replace(/\.$/, '')
    const tls = connectTls({
      socket,
      host: whole,
      ...(isIP(whole) === 0 && { servername: whole }),
      secureContext,
      ALPNProtocols: ['http/1.1'],
      // Said here, so that NODE_TLS_REJECT_UNAUTHORIZED cannot say no.
      rejectUnauthorized: true
    })
    const failed = (error?: Error): void => {
      leave()
      tls.destroy()
      socket.destroy()
      const cause = error === undefined ? 'the connection ended in the handshake' : codeText(error)
      reject(new AttemptFailure('tls', cause))
    }
    const leave = onAbort(signal, () => {
      reject(signal.reason)
      failed()
    })
    const closed = (): void => failed()
    tls.once('error', failed).once('close', closed)
    tls.once('secureConnect', () => {
      leave()
      tls.off('error', failed).off('close', closed)
      resolve(tls)
    })
  })
}
