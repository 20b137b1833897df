"use strict";
const at = document.getElementById("swagger");
SwaggerUIBundle({ url: at.dataset.from, domNode: at, deepLinking: true, validatorUrl: null });
