// This file is JavaScript because it is loaded into every thread of the measured process. V8 counts the calls of each
// thread separately.
import { Session } from 'node:inspector'
import { BroadcastChannel, isMainThread, threadId } from 'node:worker_threads'

const session = new Session()
session.connect()
session.post('Profiler.enable')
session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: false })

/** The calls of this thread since the last call of this function, as `FileCalls` of executed.ts. */
function takeOfThread() {
  let files = []
  // The callback is called before `post` returns.
  session.post('Profiler.takePreciseCoverage', (error, answer) => {
    if (error) throw error
    files = answer.result
      .filter(({ url }) => url.startsWith('file:'))
      .map(({ url, functions }) => ({ url, functions: functions.map(callsOf).filter(({ calls }) => calls > 0) }))
  })
  return files
}

const callsOf = ({ functionName: name, ranges: [{ startOffset: start, count: calls }] }) => ({ name, start, calls })

const TAKE_TIMEOUT_MS = 10_000
const channel = new BroadcastChannel('journey')
channel.unref()
const threads = new Set()
let round = 0
let collect = () => undefined

channel.onmessage = ({ data }) => {
  if (data.type === 'hello') threads.add(data.thread)
  else if (data.type === 'taken') collect(data)
  else if (!isMainThread) {
    channel.postMessage({ type: 'taken', round: data.round, thread: threadId, files: takeOfThread() })
  }
}
if (!isMainThread) channel.postMessage({ type: 'hello', thread: threadId })

/** The calls of all threads since the last call of this function. The main thread calls it. */
export async function takeCalls() {
  const files = takeOfThread()
  const waiting = new Set(threads)
  if (waiting.size === 0) return files
  const asked = ++round
  await new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('a thread does not say what it called')), TAKE_TIMEOUT_MS)
    collect = message => {
      if (message.round !== asked) return
      files.push(...message.files)
      waiting.delete(message.thread)
      if (waiting.size > 0) return
      clearTimeout(timer)
      resolve()
    }
    channel.postMessage({ type: 'take', round: asked })
  })
  return files
}
