import { once } from 'node:events'
import { request } from 'node:http'
import { expect } from 'chai'
import { ConfluentStage, JSON_RECORDS } from '../../support/confluent-stage.js'
import { RecordStreamClient } from './record-stream-client.js'

describe('confluent: streams of records that stay open', function () {
  this.timeout(120_000)
  let stage: ConfluentStage
  let topic: string
  before(async () => {
    stage = await ConfluentStage.open({
      'http.requestTimeoutMs': '1500',
      'http.admissionWaitMs': '100'
    })
    topic = await stage.topic(1)
  })
  after(() => stage?.close())

  const open = (headers?: Record<string, string>) =>
    new RecordStreamClient(`${stage.url}/v3/clusters/c1/topics/${topic}/records`, headers)

  /** Resolves when another request whose body does not end was ended by the time limits. */
  const slowRequestEnded = async (sendsOn: boolean): Promise<void> => {
    const headers = { 'content-type': JSON_RECORDS, 'content-length': String(2 ** 20) }
    const sent = request(`${stage.url}/topics/${topic}`, { method: 'POST', headers, agent: false })
    sent.on('error', () => undefined).on('response', response => response.resume())
    sent.write('{')
    const sender = sendsOn ? setInterval(() => sent.write(' '.repeat(1_000)), 50) : undefined
    await once(sent, 'close')
    clearInterval(sender)
  }

  it('confluent 74: live beyond the time limits of other requests', async () => {
    const announced = { 'content-type': 'application/json', 'content-length': String(2 ** 30) }
    const clients = [open(), open(announced)]
    for (const client of clients) {
      client.send({})
      expect(await client.next()).to.include({ error_code: 200 })
    }
    // Requests that are younger than the streams: one is too slow, the other takes too long.
    await Promise.all([slowRequestEnded(false), slowRequestEnded(true)])
    for (const client of clients) {
      client.send({})
      expect(await client.next()).to.include({ error_code: 200 })
      client.destroy()
    }
  })

  it('end when the process stops, after the answers to what was read', async () => {
    const client = open()
    client.send({}, {})
    expect(await client.next()).to.include({ error_code: 200 })
    await Promise.all([stage.app.stop(), client.ended])
    expect(await client.rest()).to.have.length(1)
  })
})
