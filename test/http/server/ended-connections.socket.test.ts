import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { loudApi, type Started, startHttp, until, untilNothingIsHeld } from './stage.js'

const get = (path: string): string => `GET /loud${path} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n`
const post = (bytes: number): string =>
  `POST /loud/push HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: ${bytes}\r\n\r\n${'x'.repeat(bytes)}`
const nextTick = (): Promise<void> => new Promise(resolve => setImmediate(resolve))

describe('connections that end while much waits on them', () => {
  let started: Started
  let socket: Socket
  afterEach(async () => {
    socket.destroy()
    await started.http.close()
  })

  const open = async (): Promise<void> => {
    socket = connect(Number(new URL(started.http.urls.shared).port), '127.0.0.1')
    socket.on('error', () => undefined).pause()
    await new Promise<void>(resolve => socket.once('connect', resolve))
  }
  const metricOf = async (name: string): Promise<number> => (await started.metric(name)) ?? 0

  it('give back the memory of requests behind answers that wait for their turn', async () => {
    started = await startHttp({
      http: { socketTimeoutMs: 300 },
      plugin: async app => {
        await loudApi()(app)
        app.get('/never', () => new Promise(() => undefined))
        app.get('/kilobyte', async () => {
          // Begun before any of them is answered: their answers wait for the first one.
          await sleep(20)
          return 'x'.repeat(1_000)
        })
      }
    })
    await open()
    socket.write(get('/never') + get('/kilobyte').repeat(100) + post(50_000))
    await until(async () => (await metricOf('castellan_http_unread_bytes')) > 0, 'bytes of requests')
    await until(async () => (await metricOf('castellan_http_connections')) === 0, 'the end')
    for (let ticks = 20; ticks > 0; ticks--) await nextTick()
    await untilNothingIsHeld(started)
  })

  it('get a large answer as a whole while the server drains', async () => {
    const answerBytes = 24_000_000
    started = await startHttp({
      plugin: async app => {
        app.get('/large', () => Buffer.alloc(answerBytes))
      }
    })
    await open()
    socket.write(get('/large'))
    await until(async () => (await metricOf('castellan_http_unread_bytes')) > 0, 'unread bytes')
    const drained = started.http.drain(60_000)
    let receivedBytes = 0
    socket.on('data', ({ length }) => (receivedBytes += length))
    await Promise.all([drained, new Promise(resolve => socket.once('close', resolve).resume())])
    expect(receivedBytes).to.be.above(answerBytes)
    await untilNothingIsHeld(started)
  })

  it('leave no unread bytes in the metrics', async () => {
    started = await startHttp({
      plugin: async app => {
        app.get('/large', () => Buffer.alloc(24_000_000))
      }
    })
    await open()
    socket.write(get('/large'))
    await until(async () => (await metricOf('castellan_http_unread_bytes')) > 0, 'unread bytes')
    socket.destroy()
    await until(async () => (await metricOf('castellan_http_connections')) === 0, 'the end')
    expect(await metricOf('castellan_http_unread_bytes')).to.equal(0)
  })
})
