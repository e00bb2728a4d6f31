import { expect } from 'chai'
import { call } from '../../support/access.js'
import { ConfluentStage } from '../../support/confluent-stage.js'
import { codeOf, type ErrorBody, produceV2, schemaCases } from '../schema-cases.js'

const url = process.env.REGISTRY_URL!
const pid = Number(process.env.REGISTRY_PID)
const settings = { 'schemas.registry.urls': url }

describe('confluent: records with schemas by a real registry', () => {
  let confluent: ConfluentStage
  before(async () => {
    confluent = await ConfluentStage.open(settings)
  })
  after(() => confluent?.close())
  afterEach(() => {
    process.kill(pid, 'SIGCONT')
  })

  const ask = async (method: string, path: string, body: object): Promise<unknown> => {
    const headers = { 'content-type': 'application/vnd.schemaregistry.v1+json' }
    const answer = await call(url + path, { method, headers, body: JSON.stringify(body) })
    expect(answer.status, answer.body).to.equal(200)
    return JSON.parse(answer.body)
  }

  schemaCases(() => ({
    confluent,
    settings,
    register: async (subject, schema) =>
      ((await ask('POST', `/subjects/${subject}/versions`, schema)) as { id: number }).id,
    silence: () => {
      process.kill(pid, 'SIGSTOP')
    }
  }))

  it('confluent S10: a schema that is not compatible is refused in the words of the registry', async () => {
    const topic = await confluent.topic(1)
    const records = [{ value: 1 }]
    expect((await produceV2(confluent, topic, { value_schema: '"int"', records })).status).to.equal(200)
    await ask('PUT', `/config/${topic}-value`, { compatibility: 'BACKWARD' })
    const seen = await produceV2(confluent, topic, { value_schema: '"boolean"', records: [{ value: true }] })
    expect(codeOf(seen)).to.deep.equal([422, 42207])
    expect((seen.body as ErrorBody).message).to.match(/the schema registry refuses: .*compatib/i)
    expect(await confluent.endOf(topic, 0)).to.equal(1)
  })
})
