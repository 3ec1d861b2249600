import { roleNames, roles } from "../../core/permissions.js";
import { route } from "../../http/route.js";
import { RoleList } from "../contract.js";

const listRoles = route(
  {
    id: "listRoles",
    method: "get",
    path: "/v1/roles",
    tag: "Access",
    summary: "List the roles and their permissions",
    auth: "any-caller",
    replies: { 200: { description: "Every role.", content: { "application/json": RoleList } } },
    problems: [],
  },
  async () => ({
    status: 200,
    body: { items: roleNames.map((name) => ({ name, permissions: [...roles[name]] })) },
  }),
);

export const roleRoutes = [listRoles];
