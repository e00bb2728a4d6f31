import { WebSocket } from 'ws'
import { answerParent } from './child.js'
import { readProcessStats } from './process-stats.js'

/** A load by websockets. Each websocket has `inFlight` messages in flight. */
export interface WebsocketRun {
  readonly url: string
  readonly sockets: number
  readonly inFlight: number
  readonly messageBytes: number
  /** The process id of the server. Its CPU time and memory are read at the beginning and end of the measured window. */
  readonly pid: number
  readonly warmUpMs: number
  readonly measureMs: number
}

export interface WebsocketReport {
  readonly messages: number
  readonly seconds: number
  readonly cpuMicros: number
  readonly rssBytes: number
  /** The number of replies in the whole run. The log must have all these messages. */
  readonly messagesInAll: number
}

const sleep = (ms: number) => new Promise(resolve => setTimeout(resolve, ms))

async function run({ url, sockets, inFlight, messageBytes, pid, warmUpMs, measureMs }: WebsocketRun) {
  const message = Buffer.alloc(messageBytes, 'x')
  let replies = 0
  let sent = 0
  let isSending = true
  const open = (): Promise<WebSocket> =>
    new Promise((resolve, reject) => {
      const socket = new WebSocket(url, { perMessageDeflate: false })
      const send = (): void => {
        sent++
        socket.send(message)
      }
      socket.on('message', () => {
        replies++
        if (isSending) send()
      })
      socket.on('error', reject)
      socket.on('open', () => {
        for (let i = 0; i < inFlight; i++) send()
        resolve(socket)
      })
    })
  const all = await Promise.all(Array.from({ length: sockets }, open))
  await sleep(warmUpMs)
  const [startedAtMs, repliesBefore, before] = [performance.now(), replies, readProcessStats(pid)]
  await sleep(measureMs)
  const after = readProcessStats(pid)
  const messages = replies - repliesBefore
  const seconds = (performance.now() - startedAtMs) / 1000
  isSending = false
  while (replies < sent) await sleep(5)
  for (const socket of all) socket.terminate()
  return {
    messages,
    seconds,
    cpuMicros: after.cpuMicros - before.cpuMicros,
    rssBytes: after.rssBytes,
    messagesInAll: replies
  } satisfies WebsocketReport
}

answerParent({ start: () => ({}), run })
