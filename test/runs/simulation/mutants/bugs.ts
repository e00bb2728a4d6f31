import { consumerBugs } from './bugs/consumer.js'
import { httpBugs } from './bugs/http.js'
import { lendingBugs } from './bugs/lending.js'
import { producerBugs } from './bugs/producer.js'
import { queueBugs } from './bugs/queues.js'
import { routerBugs } from './bugs/router.js'
import { webhookBugs } from './bugs/webhooks.js'
import type { PlantedBug } from './plant.js'

export const plantedBugs: readonly PlantedBug[] = [
  ...producerBugs,
  ...routerBugs,
  ...consumerBugs,
  ...lendingBugs,
  ...queueBugs,
  ...webhookBugs,
  ...httpBugs
].sort((one, other) => (one.name < other.name ? -1 : 1))
