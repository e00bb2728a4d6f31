import { expect } from 'chai'
import { ConfluentStage } from '../support/confluent-stage.js'
import { RecordStreamClient } from '../support/record-stream-client.js'

for (const engine of ['node', 'castellan']) {
  describe(`confluent: streams of records that stay open, engine ${engine}`, function () {
    this.timeout(120_000)
    let stage: ConfluentStage
    let topic: string
    before(async () => {
      stage = await ConfluentStage.open({
        'http.engine': engine,
        'http.requestTimeoutMs': '1500',
        'http.admissionWaitMs': '100',
        'advanced.http.bodyGraceMs': '1500'
      })
      topic = await stage.topic(1)
    })
    after(() => stage?.close())

    const open = (headers?: Record<string, string>) =>
      new RecordStreamClient(`${stage.url}/v3/clusters/c1/topics/${topic}/records`, headers)

    it('confluent 74: live beyond the time limits of other requests', async () => {
      const announced = { 'content-type': 'application/json', 'content-length': String(2 ** 30) }
      for (const client of [open(), open(announced)]) {
        client.send({})
        expect(await client.next()).to.include({ error_code: 200 })
        // Node looks at its connections once a second.
        await new Promise(resolve => setTimeout(resolve, 4_500))
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
}
