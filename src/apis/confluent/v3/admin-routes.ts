import { clusterRoutes } from './cluster-routes.js'
import { configRoutes } from './config-routes.js'
import { groupRoutes } from './group-routes.js'
import { topicRoutes } from './topic-routes.js'

/** The routes of version 3 on clusters, topics and consumer groups, by id. */
export const v3AdminRoutes = { ...configRoutes, ...clusterRoutes, ...topicRoutes, ...groupRoutes } as const
