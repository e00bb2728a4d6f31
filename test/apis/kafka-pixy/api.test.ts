import { expect } from 'chai'
import { kafkaPixyOperations } from '../../../src/apis/kafka-pixy/routes.js'
import type { Operation } from '../../../src/http/openapi/operation.js'

const isOfCluster = ({ path }: Operation): boolean => path.startsWith('/clusters/')
const main = kafkaPixyOperations.filter(operation => !isOfCluster(operation))

// What it says of answers is compared with each answer that a test gets (PixyPlay).
describe("pixy: the description of Kafka-Pixy's API", () => {
  it('names every operation', () => {
    expect(main.map(({ method, path, produces = false }) => `${method} ${path}${produces ? ' produces' : ''}`)).to.eql([
      'post /topics/{topic}/messages produces',
      'get /topics/{topic}/messages',
      'get /topics/{topic}/tail',
      'post /topics/{topic}/acks',
      'get /topics/{topic}/offsets',
      'post /topics/{topic}/offsets',
      'get /topics/{topic}/consumers',
      'get /topics',
      'get /topics/{topic}',
      'get /_ping'
    ])
  })

  it('tells the same of each operation below the name of a cluster, but for ping', () => {
    const below = main
      .filter(({ id }) => id !== 'ping')
      .map(operation => [`/clusters/{cluster}${operation.path}`, `${operation.id}OfCluster`, operation])
    const found = kafkaPixyOperations.filter(isOfCluster).map(({ params, ...operation }) => {
      const { cluster, ...others } = params!
      expect(cluster!.description).to.equal('The cluster')
      const same = main.find(({ id }) => `${id}OfCluster` === operation.id)!
      const { path, id } = operation
      return [path, id, { ...operation, path: same.path, id: same.id, ...(same.params && { params: others }) }]
    })
    expect(found).to.have.deep.members(below)
  })
})
