/** What is used of client-node, and all of it that a bundle carries. Loading it costs 0.6 s and 80 MB: import this when it is needed. */
export { KubeConfig } from "@kubernetes/client-node";
