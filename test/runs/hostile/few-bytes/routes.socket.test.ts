import { expect } from 'chai'
import { SCHEMA_TYPES } from '../../../../src/apis/confluent/media-types.js'
import {
  type App,
  type EmbeddedCluster,
  loadConfig,
  silentLogger,
  startApp,
  startEmbeddedCluster
} from '../../../../src/index.js'
import { walDirectoryOf } from '../../../support/wal-directory.js'
import { routes } from './routes.js'
import { schemaRoutes } from './schema-routes.js'

type Operations = Readonly<Record<string, { readonly requestBody?: { readonly content: object } }>>

describe('requests of few bytes that ask for much', () => {
  let cluster: EmbeddedCluster
  let app: App

  before(async () => {
    cluster = await startEmbeddedCluster()
    const environment = {
      CASTELLAN_BROKERS: cluster.bootstrap,
      CASTELLAN_PORT: '0',
      CASTELLAN_MANAGEMENT_PORT: '0',
      CASTELLAN_WAL_DIRECTORY: walDirectoryOf('apps')
    }
    app = await startApp(loadConfig({ environment }), { log: silentLogger, version: '1.2.3' })
  })

  after(async () => {
    await app.stop()
    await cluster.close()
  })

  it('are made for every route and type of body in the served document, and for no other', async () => {
    const { paths } = (await (await fetch(`${app.urls.shared}/openapi.json`)).json()) as {
      paths: Readonly<Record<string, Operations>>
    }
    const served = Object.entries(paths).flatMap(([path, operations]) =>
      Object.entries(operations).flatMap(([method, { requestBody }]) =>
        Object.keys(requestBody?.content ?? {}).map(type => `${method.toUpperCase()} ${path} ${type}`)
      )
    )
    const made = new Set([...routes, ...schemaRoutes].map(({ name, type }) => `${name} ${type}`))
    expect(served.filter(route => !made.has(route))).to.deep.equal([])
    const known = new Set(served.map(route => route.replace(/ [^ ]+$/, '')))
    expect(routes.filter(({ name }) => !known.has(name)).map(({ name }) => name)).to.deep.equal([])
  })

  it('are made for every format of schemas, in both versions of the API', () => {
    const formats = Object.keys(SCHEMA_TYPES).map(format => format.toUpperCase())
    const made = (version: RegExp): string[] => [
      ...new Set(schemaRoutes.filter(({ name }) => version.test(name)).map(({ label }) => label!.split(' ', 1)[0]!))
    ]
    expect(made(/topics\/\{topic\}$/)).to.have.members(formats)
    expect(made(/\/v3\//)).to.have.members(formats)
  })
})
